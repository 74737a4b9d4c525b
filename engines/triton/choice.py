"""Which of Triton's backends runs a bundle's graphs, with which of its files."""

from __future__ import annotations

import re

from stylert.engines.request import need_half_graph
from stylert.engines.triton.plan_sets import PlanSet, find_plan_sets
from stylert.engines.triton.recipe import BACKENDS, DEVICES, Recipe
from stylert.runtime.arguments import check_choice, check_integer, shown
from stylert.runtime.backends.tensorrt.plans import plans_of
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
) -> tuple[Recipe, str]:
    """What runs the graphs, and why.

    Args:
        bundle: the bundle.
        backend: one of BACKENDS, or 'auto': TensorRT if the bundle has engines that Triton can
            serve, else ONNX Runtime.
        device: 'gpu', 'cpu', or 'auto': the GPU, but for the backend 'python'.
        precision: 'fp16', 'fp32', or 'auto': half on a GPU if the bundle has it.
        tensorrt: version of TensorRT in the server's container, as '10.13'; '' = the newest that
            the bundle has engines of.
        max_batch: images of one launch, None = as many as the engines hold, else 8.

    Raises:
        InvalidInput: an unknown value, or values that do not go together.
        EngineError: the bundle has no engines that Triton can serve, or a sidecar is damaged.
    """
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
        found, reasons = find_plan_sets(bundle, plans_of(bundle))
        version = f"{tensorrt}." if tensorrt else ""
        for one in found:
            if precision in ("auto", one.precision) and f"{one.version}.".startswith(version):
                return _choose_tensorrt(bundle, one, max_batch)
        problem = _explain_no_engines(bundle, reasons, precision, tensorrt)
        if must:
            raise EngineError(problem)
        why = f"onnxruntime: {problem}"
    elif backend == "auto":
        why = "onnxruntime: it runs on the CPU"
    recipe = Recipe(
        backend="onnxruntime",
        device="gpu" if device == "auto" else device,
        precision=_choose_precision(bundle, precision, device),
        max_batch=max_batch or _MAX_BATCH,
    )
    return recipe, why


def _choose_tensorrt(bundle: Bundle, chosen: PlanSet, max_batch: int | None) -> tuple[Recipe, str]:
    if (max_batch or 0) > chosen.largest:
        raise InvalidInput(
            f"max_batch: got {max_batch}, but the engines hold up to {chosen.largest}. Build "
            f"others: {tell_build(bundle, chosen.precision, max_batch)}"
        )
    plans = [*chosen.select("mapping").values(), *chosen.select("synthesis").values()]
    recipe = Recipe(
        backend="tensorrt",
        device="gpu",
        precision=chosen.precision,
        max_batch=max_batch or chosen.largest,
        plans=tuple(sorted({plan.name for plan in plans})),
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
