"""Which of a bundle's plans run here, and which pair of them is the best."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from stylert.runtime.backends.graph_forms import hash_engine_graph
from stylert.runtime.backends.tensorrt.plans import Plan, list_plans
from stylert.runtime.backends.tensorrt.trust import UntrustedEngine, is_trusted, tell_untrusted
from stylert.runtime.bundle import ENCODER, Bundle
from stylert.runtime.errors import EngineError, InvalidInput, MissingExtra
from stylert.runtime.machine import Gpu
from stylert.runtime.packages import read_release

__all__ = ["Choice", "choose_plans", "find_named", "tell_build"]

# The packages that run a compiler's plans; the first that does is taken.
PACKAGES: Mapping[str, tuple[str, ...]] = {
    "tensorrt": ("tensorrt", "tensorrt_lean"),
    "tensorrt_rtx": ("tensorrt_rtx",),
}
COMPILERS = {"tensorrt": "tensorrt", "tensorrt_rtx": "tensorrt-rtx"}  # as the command line says
RTX_CAPABILITIES = ((8, 0), (8, 6), (8, 9), (12, 0), (12, 1))  # that TensorRT-RTX builds for
_AMPERE = (8, 0)


@dataclass(frozen=True)
class Choice:
    """Plans that belong together, and the package that runs them."""

    mapping: Plan
    synthesis: Plan
    package: str
    version: str
    encoder: Plan | None = None  # where there is one that belongs to them
    note: str = ""  # what the user should know of it


def choose_plans(
    bundle: Bundle,
    *,
    gpu: Gpu,
    precision: str,
    version_of: Callable[[str], str],
    trust_engines: bool = False,
    plan: str | None = None,
) -> Choice:
    """The best pair of plans that runs here, of those that this user built or trusts.

    Half precision goes before single, full TensorRT before TensorRT-RTX, a plan of this very
    version before a version-compatible one, one that was built on such a GPU before others, and
    larger batches before smaller ones.

    Args:
        bundle: with the plans.
        gpu: that they are to run on.
        precision: 'fp16', 'fp32', or 'auto' for any.
        version_of: gives the version of a package by its name, or raises `MissingExtra`.
        trust_engines: take those of others, too.
        plan: name of the one for the synthesis, None = any.

    Raises:
        InvalidInput: the bundle has no plan of this name.
        UntrustedEngine: some fit, and all that do are of others.
        EngineError: none fits; the message says why and how to build one.
        MissingExtra: there are plans, but no package that runs them is installed.
    """
    plans = find_named(list_plans(bundle), plan)
    if precision == "auto" and plan is not None:
        precision = next(one.precision for one in plans if one.graph == "synthesis")
    trusted = [plan for plan in plans if is_trusted(plan, trust_engines=trust_engines)]
    choose = partial(
        _choose,
        bundle,
        gpu=gpu,
        precision=precision,
        version_of=version_of,
    )
    try:
        return choose(trusted)
    except EngineError:
        if trusted == plans:
            raise
    choice = choose(plans)  # or what is wrong with all of them
    other = next(one for one in (choice.synthesis, choice.mapping) if one not in trusted)
    build = tell_build(bundle, [other], gpu, precision)
    raise UntrustedEngine(tell_untrusted(other, build))


def find_named(plans: Sequence[Plan], name: str | None) -> list[Plan]:
    """Those for the mapping, and of those for the synthesis the one of this name, None = all.

    Raises:
        InvalidInput: there is none of this name.
    """
    names = [plan.name for plan in plans if plan.graph == "synthesis"]
    if name is not None and name not in names:
        known = f"one of {', '.join(names)}" if names else "none: the bundle has no engine"
        raise InvalidInput(f"plan: got {name!r:.120}, expected {known}.")
    return [plan for plan in plans if plan.graph != "synthesis" or name in (None, plan.name)]


def _choose(
    bundle: Bundle,
    plans: Sequence[Plan],
    *,
    gpu: Gpu,
    precision: str,
    version_of: Callable[[str], str],
) -> Choice:
    """The best pair among these plans; see `choose_plans`."""
    others = [plan for plan in plans if plan.graph != "synthesis"]
    syntheses = [plan for plan in plans if plan.graph == "synthesis" and _is_asked(plan, precision)]
    build = tell_build(bundle, syntheses, gpu, precision)
    if not syntheses:
        kind = "engine" if precision == "auto" else f"{precision} engine"
        raise EngineError(f"The bundle {bundle.path} has no {kind}. Build one: {build}")
    versions, missing = _installed(syntheses, version_of)
    if not versions:
        raise missing[0]
    found = [_pair(bundle, plan, others, gpu.compute_capability, versions) for plan in syntheses]
    choices = [pair for pair in found if isinstance(pair, Choice)]
    if not choices:
        major, minor = gpu.compute_capability
        raise EngineError(
            f"No engine of the bundle runs on this GPU ({gpu.name}, {major}.{minor}): "
            f"{found[0]}. Build one: {build}"
        )
    best = max(choices, key=partial(_rank, gpu=gpu))
    return replace(best, note=_tell_other_gpu(bundle, best.synthesis, gpu))


def _pair(
    bundle: Bundle,
    synthesis: Plan,
    others: Sequence[Plan],
    capability: tuple[int, int],
    versions: Mapping[str, str],
) -> Choice | str:
    """A plan for the synthesis with the best that run along with it, or why it does not run."""
    reason = _misfit(bundle, synthesis, capability, versions)
    if reason:
        return reason
    package = _package(synthesis, versions) or ""
    partners = [
        plan
        for plan in others
        if (plan.compiler, plan.batches) == (synthesis.compiler, synthesis.batches)
        and _package(plan, versions) == package
        and _misfit(bundle, plan, capability, versions) is None
    ]

    def rank(plan: Plan) -> tuple[bool, bool]:
        return plan.precision == "fp16", plan.version == versions[package]

    mapping = max((p for p in partners if p.graph == "mapping"), key=rank, default=None)
    if mapping is None:
        return f"{synthesis.name} has no mapping plan of the same kind and batches"
    lowest = ("fp32",) if synthesis.precision == "fp32" else ("fp16", "fp32")
    encoders = [p for p in partners if p.graph == ENCODER and p.precision in lowest]
    encoder = max(encoders, key=rank, default=None)
    return Choice(mapping, synthesis, package, versions[package], encoder)


def _is_asked(plan: Plan, precision: str) -> bool:
    """Whether a plan is of this precision; INT8 is none of those that 'auto' takes."""
    return plan.precision == precision or (precision == "auto" and plan.precision != "int8")


def _rank(choice: Choice, *, gpu: Gpu) -> tuple[bool, bool, bool, bool, int, int]:
    plan = choice.synthesis
    return (
        plan.precision == "fp16",
        plan.compiler == "tensorrt",
        plan.version == choice.version,
        plan.gpu in (None, gpu.name),
        max(most for _, _, most in plan.batches),
        len(plan.outputs),
    )


def _installed(
    plans: Iterable[Plan], version_of: Callable[[str], str]
) -> tuple[dict[str, str], list[MissingExtra]]:
    """Versions of the packages that could run the plans, and why others are not there."""
    versions, missing = {}, []
    for compiler in dict.fromkeys(plan.compiler for plan in plans):
        for package in PACKAGES.get(compiler, ()):
            try:
                versions[package] = version_of(package)
            except MissingExtra as error:
                missing.append(error)
    if not versions and not missing:
        missing.append(MissingExtra("No package is known that runs this bundle's engines."))
    return versions, missing


def _package(plan: Plan, versions: Mapping[str, str]) -> str | None:
    """The first installed package whose version runs the plan."""
    for package in PACKAGES.get(plan.compiler, ()):
        if package in versions and _runs(plan, package, versions[package]):
            return package
    return None


def _runs(plan: Plan, package: str, version: str) -> bool:
    compatible = bool(plan.options.get("version_compatible"))
    if package == "tensorrt_lean" and not compatible:
        return False  # it has no kernels of its own but those that such a plan brings along
    if plan.version == version:
        return True
    built, installed = read_release(plan.version), read_release(version)
    # A plan of 10 runs on later 10 and on 11; a newer plan never runs on an older version.
    return compatible and built <= installed and installed[0] - built[0] <= 1


def _misfit(
    bundle: Bundle,
    plan: Plan,
    capability: tuple[int, int],
    versions: Mapping[str, str],
) -> str | None:
    """Why a plan does not run here, None if it does."""
    if plan.onnx_sha256 != hash_engine_graph(bundle, plan.graph, plan.precision):
        return f"{plan.name} was built from another bundle's graph"
    targets = ", ".join(plan.compute_capabilities)
    portable = plan.options.get("hardware_compatible") and capability >= _AMPERE
    if "{}.{}".format(*capability) not in plan.compute_capabilities and not portable:
        return f"{plan.name} was built for compute capability {targets}"
    if _package(plan, versions) is None:
        installed = ", ".join(f"{name} {version}" for name, version in versions.items())
        return f"{plan.name} needs version {plan.version}, installed is {installed}"
    return None


def _tell_other_gpu(bundle: Bundle, plan: Plan, gpu: Gpu) -> str:
    """What to know of a plan that was built on another GPU, '' if there is nothing."""
    if plan.gpu in (None, gpu.name) or plan.options.get("hardware_compatible"):
        return ""
    build = tell_build(bundle, [plan], gpu, plan.precision)
    return (
        f"{plan.name} was built on {plan.gpu} and runs on {gpu.name}, perhaps not with its "
        f"best kernels. For this GPU: {build}"
    )


def tell_build(bundle: Bundle, plans: Sequence[Plan], gpu: Gpu, precision: str) -> str:
    """The command that builds what is missing."""
    compilers = {plan.compiler for plan in plans}
    rtx = compilers == {"tensorrt_rtx"} and gpu.compute_capability in RTX_CAPABILITIES
    compiler = "tensorrt_rtx" if rtx else "tensorrt"
    words = ["stylert", "build-engine", str(bundle.path), "--compiler", COMPILERS[compiler]]
    if rtx:
        words += ["--sm", "{}{}".format(*gpu.compute_capability)]
    elif gpu.index:
        words += ["--gpu", str(gpu.index)]
    if precision == "auto" and "fp16" not in bundle.precisions:
        precision = "fp32"
    if precision != "auto":
        words += ["--precision", precision]
    return " ".join(words)
