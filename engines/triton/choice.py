"""Which of Triton's backends runs a bundle's graphs, with which of its files."""

from __future__ import annotations

import re

from stylert.engines.request import need_half_graph
from stylert.engines.triton.plan_sets import PlanSet, find_plan_sets
from stylert.engines.triton.recipe import BACKENDS, DEVICES, Recipe
from stylert.runtime.arguments import check_choice, check_integer, shown
from stylert.runtime.backends.tensorrt.plans import Plan, list_plans
from stylert.runtime.backends.tensorrt.trust import UntrustedEngine, is_trusted, tell_untrusted
from stylert.runtime.bundle import HALF, Bundle
from stylert.runtime.errors import EngineError, InvalidInput

__all__ = ["choose_recipe", "tell_build"]

_MAX_BATCH = 8  # of backends that take any


def choose_recipe(
    bundle: Bundle,
    *,
    backend: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    tensorrt: str = "",
    max_batch: int | None = None,
    trust_engines: bool = False,
) -> tuple[Recipe, str]:
    """What runs the graphs, and why. The arguments are those of `write_repository`.

    Raises:
        InvalidInput: an unknown value, or values that do not go together.
        EngineError: the bundle has no engines that Triton can serve, or a sidecar is damaged.
    """
    if backend == "openvino":  # which StyleRT itself has
        raise InvalidInput(
            "backend: got 'openvino', which is only fast with one size of batch, and Triton's own "
            f"batches vary; expected 'auto' or one of {BACKENDS}."
        )
    check_choice("backend", backend, ("auto", *BACKENDS))
    check_choice("device", device, ("auto", *DEVICES))
    check_choice("precision", precision, ("auto", "fp16", "fp32"))
    if not re.fullmatch(r"(\d+(\.\d+)*)?", tensorrt):
        raise InvalidInput(f"tensorrt: got {shown(tensorrt)}, expected a version such as '10.13'.")
    if max_batch is not None:
        check_integer("max_batch", max_batch, 1, 1024)
    if backend == "python":
        return _choose_python(device, precision, max_batch)
    must = backend == "tensorrt" or (backend == "auto" and bool(tensorrt))
    if must and device == "cpu":
        raise InvalidInput("device: got 'cpu' for the backend 'tensorrt', expected 'gpu'.")
    why = "onnxruntime: as asked for"
    if must or (backend == "auto" and device != "cpu"):
        try:
            chosen, without = _find_trusted_set(bundle, precision, tensorrt, trust_engines)
            recipe, why = _choose_tensorrt(bundle, chosen, max_batch)
            return recipe, why + without
        except EngineError as error:
            if must:
                raise
            note = error.note if isinstance(error, UntrustedEngine) else error
            why = f"onnxruntime: {note}"
    elif backend == "auto":
        why = "onnxruntime: it runs on the CPU"
    recipe = Recipe(
        backend="onnxruntime",
        device="gpu" if device == "auto" else device,
        precision=_choose_precision(bundle, precision, device),
        max_batch=max_batch or _MAX_BATCH,
    )
    return recipe, why


def _find_trusted_set(
    bundle: Bundle, precision: str, tensorrt: str, trust_engines: bool
) -> tuple[PlanSet, str]:
    """The best set of engines that this user built or trusts; and what a better one has of others.

    Raises:
        UntrustedEngine: there are sets, but none of them.
        EngineError: there is no set.
    """
    plans = list_plans(bundle)
    trusted = [plan for plan in plans if is_trusted(plan, trust_engines=trust_engines)]
    best, reasons = _find_best_set(bundle, plans, precision, tensorrt)
    if best is None:
        raise EngineError(_explain_no_engines(bundle, reasons, precision, tensorrt))
    strange = [plan for plan in best.plans if plan not in trusted]
    chosen, _ = _find_best_set(bundle, trusted, precision, tensorrt)
    if chosen is None:
        build = tell_build(bundle, best.precision, best.largest)
        raise UntrustedEngine(tell_untrusted(strange[0], build))
    without = f"; without {strange[0].name}, not built by you: --trust-engines" if strange else ""
    return chosen, without


def _find_best_set(
    bundle: Bundle, plans: list[Plan], precision: str, tensorrt: str
) -> tuple[PlanSet | None, list[str]]:
    """The best set of some engines that is as asked, and why engines are in none at all."""
    found, reasons = find_plan_sets(bundle, plans)
    version = f"{tensorrt}." if tensorrt else ""
    for one in found:
        if one.precision == "int8":
            continue  # never by itself, and Triton has no word for it yet
        if precision in ("auto", one.precision) and f"{one.version}.".startswith(version):
            return one, reasons
    return None, reasons


def _choose_tensorrt(bundle: Bundle, chosen: PlanSet, max_batch: int | None) -> tuple[Recipe, str]:
    if (max_batch or 0) > chosen.largest:
        raise InvalidInput(
            f"max_batch: got {max_batch}, but the engines hold up to {chosen.largest}. Build "
            f"others: {tell_build(bundle, chosen.precision, max_batch)}"
        )
    recipe = Recipe(
        backend="tensorrt",
        device="gpu",
        precision=chosen.precision,
        max_batch=max_batch or chosen.largest,
        plans=tuple(sorted({plan.name for plan in chosen.plans})),
    )
    gpus = ", ".join(chosen.pairs)
    return recipe, f"tensorrt: engines of TensorRT {chosen.version} for compute capability {gpus}"


def _choose_python(device: str, precision: str, max_batch: int | None) -> tuple[Recipe, str]:
    if device == "gpu" or precision == "fp16":
        got = "device 'gpu'" if device == "gpu" else "precision 'fp16'"
        raise InvalidInput(
            f"backend 'python': got {got}, expected the CPU and 'fp32'. Use onnxruntime on a GPU."
        )
    recipe = Recipe(
        backend="python", device="cpu", precision="fp32", max_batch=max_batch or _MAX_BATCH
    )
    return recipe, "python: as asked for"


def _choose_precision(bundle: Bundle, precision: str, device: str) -> str:
    if precision == "fp16":
        need_half_graph(bundle)
    if precision == "auto":  # half is slower on a CPU
        return "fp16" if HALF in bundle.graphs and device != "cpu" else "fp32"
    return precision


def _explain_no_engines(bundle: Bundle, reasons: list[str], precision: str, tensorrt: str) -> str:
    asked = [precision] if precision != "auto" else []
    asked += [f"TensorRT {tensorrt}"] if tensorrt else ["TensorRT"]
    reason = f" ({reasons[0]})" if reasons else ""
    return (
        f"The bundle {bundle.path} has no {' '.join(asked)} engines that Triton can serve{reason}. "
        f"Build them: {tell_build(bundle, precision, _MAX_BATCH)}"
    )


def tell_build(bundle: Bundle, precision: str, largest: int | None) -> str:
    """The command that builds engines for Triton."""
    words = ["stylert", "build-engine", str(bundle.path), "--compiler", "tensorrt"]
    words += ["--batch", f"1:{max(1, (largest or _MAX_BATCH) // 2)}:{largest}"]
    if precision == "fp32" or HALF not in bundle.graphs:
        words += ["--precision", "fp32"]
    return " ".join(words)
