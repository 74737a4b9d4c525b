"""What every compiler does: parse, prove the precision, build, and publish all engines or none.

It calls the builders themselves. Polygraphy (0.53.6) compares layers for us, see `verify --layers`,
but its loaders cannot build what this does:

- It drives either TensorRT or TensorRT-RTX: `POLYGRAPHY_USE_TENSORRT_RTX` chooses when it is
  imported, once in a process. Here each call names its compiler.
- What a builder logs goes to Polygraphy's own logger, and its error is "Invalid Engine". Here the
  reason makes the one line of the error, and tells which convolutions need an island of float32.
- A Ctrl-C that its logger meets ends the process by SIGTERM, so nothing that was begun is cleared
  away; elsewhere it waits for the end of the build. Here the builder has a thread, and stops.
- It ignores what `add_optimization_profile` and `set_timing_cache` return, and writes the timing
  cache in place.
- `CreateConfigRTX` leaves TF32 on, and has no option for that, nor for REQUIRE_USER_ALLOCATION.
- Its loader of bytes gives the parser no path, by which the weights of graphs beyond 2 GB are
  found; the one of paths parses the file as it is, whose half-stored weights a refit cannot load.

With `PostprocessNetwork` and `PostprocessConfig` for all that, two calls would be left to it.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from stylert.engines.building import Progress, run_builder
from stylert.engines.built_layers import count_types, find_not_int8, read_layers
from stylert.engines.parsed_graph import ParsedGraph
from stylert.engines.request import BuildRequest
from stylert.runtime.backends.tensorrt.driver_remedy import tell_driver
from stylert.runtime.backends.tensorrt.plans import Plan
from stylert.runtime.backends.tensorrt.tensorrt_log import tensorrt_logger
from stylert.runtime.backends.tensorrt.trust import is_trusted, record_engine
from stylert.runtime.bundle import Bundle, hash_file
from stylert.runtime.errors import EngineError
from stylert.runtime.files.publishing import publish_file, sync_file

__all__ = ["Compiler", "Target", "build_engines"]

_NO_HALF_KERNEL = ("No low-precision conv kernel", "Could not find any implementation for node")
_ONE_AT_A_TIME = threading.Lock()  # a compiler has one logger, and its messages steer the build


@dataclass(frozen=True)
class Target:
    """The GPUs that an engine is built for."""

    name: str  # as part of a file's name: 'sm86_89', 'nvidia_l4'
    compute_capabilities: tuple[str, ...]  # '8.6', '8.9'
    gpu: str | None  # name of the GPU that builds it, None = none is needed


@dataclass(frozen=True)
class Compiler(ABC):
    """What differs between compilers."""

    name: ClassVar[str]  # as a sidecar has it: 'tensorrt' or 'tensorrt_rtx'
    title: ClassVar[str]  # as a message has it

    trt: Any  # its Python module

    @abstractmethod
    def find_target(self, request: BuildRequest) -> Target:
        """The GPUs that the request asks for.

        Raises:
            InvalidInput: it asks for something that this compiler cannot do.
        """

    def active(self) -> AbstractContextManager[None]:
        """Make the GPU that builds the calling thread's, if one is needed.

        Raises:
            EngineError: it cannot be used.
        """
        return nullcontext()

    @abstractmethod
    def configure(self, config: Any, request: BuildRequest) -> None:
        """Set what is special to this compiler, on an IBuilderConfig."""

    @abstractmethod
    def learn(self, config: Any) -> None:
        """Keep what a build has found out that makes the next one faster."""


def build_engines(
    compiler: Compiler,
    request: BuildRequest,
    *,
    force: bool = False,
    progress: Progress = lambda stage, done, total: None,
    say: Callable[[str], None] = lambda line: None,
) -> list[Plan]:
    """Build what was asked for into the bundle's `engines/` folder. All of it, or nothing.

    The last three arguments are those of `build_engine`.

    Raises:
        InvalidInput: the request asks for something that this compiler cannot do.
        EngineError: the parser or the builder refuses a graph, or its precision is not as asked.
        OSError: the disk is full, or the bundle cannot be written.
    """
    target = compiler.find_target(request)
    plans = []
    with _ONE_AT_A_TIME, ExitStack() as built:  # which publishes all at its end
        for graph in request.graphs:
            draft = _draft_plan(compiler, request, target, graph)
            plan = None if force else _find_up_to_date(draft, request.bundle, say)
            if plan is None:
                with compiler.active():
                    plan, data = _compile(compiler, request, draft, progress, say)
                _record(plan, say)
                built.enter_context(_publish(plan, request.bundle, data))
            else:
                say(f"{plan.name} is up to date.")
            plans.append(plan)
    return plans


def _draft_plan(compiler: Compiler, request: BuildRequest, target: Target, graph: str) -> Plan:
    """What is known of a plan before its engine is built."""
    version, precision = str(compiler.trt.__version__), request.find_precision(graph)
    parts = [compiler.name, version, target.name, precision, graph, request.profile]
    if graph == "synthesis":
        parts.append(request.output)
    return Plan(
        name="-".join(parts),
        compiler=compiler.name,
        version=version,
        graph=graph,
        precision=precision,
        compute_capabilities=target.compute_capabilities,
        gpu=target.gpu,
        batches=request.batches,
        outputs=request.list_outputs(graph),
        onnx_sha256=request.find_onnx_sha256(graph),
        sha256="",
        size=0,
        options=request.options,
    )


def _find_up_to_date(draft: Plan, bundle: Bundle, say: Callable[[str], None]) -> Plan | None:
    """The plan in the bundle, if it is what a build would make, unchanged, and trusted."""
    try:
        plan = Plan.from_json(json.loads(_sidecar(draft, bundle).read_bytes()))
        unbuilt = replace(plan, sha256="", size=0, census={}, fp32_islands=(), build_seconds=0.0)
        if unbuilt == draft and hash_file(plan.file(bundle)) == plan.sha256:
            if is_trusted(plan):
                return plan
            say(f"{plan.name} is there, but not one that you built: built again.")
    except (OSError, ValueError, TypeError, RecursionError):
        pass  # missing or damaged: to be built
    return None


def _compile(
    compiler: Compiler,
    request: BuildRequest,
    draft: Plan,
    progress: Progress,
    say: Callable[[str], None],
) -> tuple[Plan, Any]:
    """Build an engine: what is known of its plan, and the plan's bytes."""
    started = time.perf_counter()
    logger = tensorrt_logger(compiler.trt)
    islands: list[str] = []
    while True:
        builder = _make_builder(compiler, logger)
        onnx = request.find_onnx(draft.graph)
        parsed = ParsedGraph(compiler.trt, builder, logger, onnx, draft.precision)
        parsed.keep_outputs(draft.outputs)
        parsed.check_precision(draft.precision, request.list_half_blocks(draft.graph))
        for name in islands:
            parsed.make_island(name)
        config = _make_config(compiler, request, builder, parsed)
        if draft.precision == "int8":  # then the log tells the kernels
            config.profiling_verbosity = compiler.trt.ProfilingVerbosity.DETAILED
        logger.clear()
        data = run_builder(
            compiler.trt,
            builder,
            parsed.network,
            config,
            lambda phase, done, total: progress(f"{draft.graph}: {phase}", done, total),
            compiler.active,
        )
        compiler.learn(config)
        if data is not None:
            break
        refused = [name for name in _find_refused(parsed, logger.reason) if name not in islands]
        if not refused:
            raise EngineError(
                f"{compiler.title} {draft.version} cannot build {parsed.path.name}: "
                f"{logger.reason:.300}"
            )
        say(f"No half-precision kernel for {', '.join(refused)}: built again in float32 there.")
        islands += refused
    plan = replace(
        draft,
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(memoryview(data)),
        census=_take_census(compiler, draft, parsed, logger),
        fp32_islands=tuple(islands),
        build_seconds=round(time.perf_counter() - started, 2),
    )
    return plan, data


def _take_census(
    compiler: Compiler, draft: Plan, parsed: ParsedGraph, logger: Any
) -> dict[str, dict[str, int]]:
    """The types that a built engine computes in, once they are those that were asked for."""
    census = parsed.count_types()
    if draft.precision == "fp16" and not census["convolutions"].get("HALF"):
        raise EngineError(
            f"{compiler.title} {draft.version} has no half-precision kernel for any convolution "
            f"of {parsed.path.name}. Build with precision='fp32', or use another version."
        )
    if draft.precision == "int8":
        layers = read_layers(logger.layers)
        if left := find_not_int8(layers, parsed.list_quantised()):
            raise EngineError(
                f"{compiler.title} {draft.version} does not tell that it computes "
                f"{', '.join(left):.150} of {parsed.path.name} in 8 bits. Build with "
                "precision='fp16', or use another version."
            )
        census["convolutions"] = count_types(layers)
    return census


def _make_builder(compiler: Compiler, logger: Any) -> Any:
    logger.clear()
    try:
        return compiler.trt.Builder(logger)
    except TypeError:  # pybind11's word for a factory that returned nothing
        remedy = tell_driver(compiler.name, logger.reason)
        raise EngineError(
            f"{compiler.title} {compiler.trt.__version__} does not start: {logger.reason:.200}. "
            f"{remedy}".rstrip(". ")
        ) from None


def _make_config(
    compiler: Compiler, request: BuildRequest, builder: Any, parsed: ParsedGraph
) -> Any:
    trt = compiler.trt
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # float32 is float32
    config.max_aux_streams = 0  # one stream, which a CUDA graph can capture
    if request.optimization_level is not None:
        config.builder_optimization_level = request.optimization_level
    if request.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, request.workspace)
    if request.refittable:
        config.set_flag(trt.BuilderFlag.REFIT)
    compiler.configure(config, request)
    for batch in request.batches:
        if config.add_optimization_profile(parsed.make_profile(batch)) < 0:
            raise EngineError(f"{compiler.title} refuses batches {batch} of {parsed.path.name}.")
    return config


def _find_refused(parsed: ParsedGraph, reason: str) -> list[str]:
    """The half-precision convolutions that the builder found no kernel for."""
    if not any(words in reason for words in _NO_HALF_KERNEL):
        return []
    return parsed.find_half_convolutions(reason)


def _record(plan: Plan, say: Callable[[str], None]) -> None:
    try:
        record_engine(plan)
    except OSError as error:  # it was hard to build, and runs where it is trusted by word
        say(f"{plan.name} cannot be recorded as yours ({error}): open it with --trust-engines.")


@contextmanager
def _publish(plan: Plan, bundle: Bundle, data: Any) -> Iterator[None]:
    """Write a plan and its sidecar, and publish them at the end; the sidecar comes last."""
    file, sidecar = plan.file(bundle), _sidecar(plan, bundle)
    text = json.dumps(plan.to_json(), indent=1) + "\n"
    try:
        with publish_file(sidecar) as partial, publish_file(file) as partial_plan:
            partial.write_text(text, encoding="utf-8")
            partial_plan.write_bytes(data)
            sync_file(partial_plan)  # what a full disk refuses must not cost the older one
            yield
            sidecar.unlink(missing_ok=True)  # it does not tell of the new plan
    except BaseException:
        if not sidecar.exists():
            file.unlink(missing_ok=True)
        raise


def _sidecar(plan: Plan, bundle: Bundle) -> Path:
    return plan.file(bundle).with_suffix(".json")
