"""The TensorRT backend: a bundle's plans on an NVIDIA GPU, without torch.

Batches are padded to the next profile. Mapping and synthesis are one CUDA graph per batch size, the
noise stays on the device, and pictures come as NumPy arrays or stay there (`DeviceArray`).
"""

from __future__ import annotations

import contextlib
import shlex
import threading
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from stylert.runtime.backends.cuda.device import Device
from stylert.runtime.backends.cuda.launch_timer import LaunchTimer
from stylert.runtime.backends.graph_forms import find_engine_graph
from stylert.runtime.backends.tensorrt.cuda_graphs import GraphPolicy
from stylert.runtime.backends.tensorrt.engine import Engine
from stylert.runtime.backends.tensorrt.lanes import Lane, LanePool
from stylert.runtime.backends.tensorrt.other_encoder import OtherEncoder
from stylert.runtime.backends.tensorrt.package import Package
from stylert.runtime.backends.tensorrt.plan_choice import COMPILERS, choose_plans, tell_build
from stylert.runtime.backends.tensorrt.plans import Plan
from stylert.runtime.backends.tensorrt.resident import ResidentArrays
from stylert.runtime.bundle import ENCODER, HALF_ENCODER, Bundle
from stylert.runtime.errors import EngineError, InvalidInput, StylertWarning
from stylert.runtime.feeds import Feeds
from stylert.runtime.machine import Gpu
from stylert.runtime.session import DLPackArray, Graphs

__all__ = ["TensorRTSession"]

MAPPING, SYNTHESIS = "mapping", "synthesis"


class TensorRTSession:
    """A bundle's engines in TensorRT, TensorRT's lean runtime, or TensorRT-RTX.

    Args:
        bundle: an opened bundle with plans in it.
        precision: 'fp16', 'fp32', or 'auto' for the best that is there.
        gpu: index of the GPU.
        lanes: calls that may run at the same time; each has buffers of its own on the GPU.
        cuda_graphs: replay captured graphs instead of queueing every kernel.
        device: the GPU itself, None = open it.
        timer: takes the time of the launches on that device, None = nobody asks.
        trust_engines: also run plans that this user did not build; see `trust.py`.
        plan: name of the one for the synthesis, None = the best that runs here.

    Attributes:
        max_batch: images of one call at most.

    Raises:
        MissingExtra: cuda-core or TensorRT is not installed.
        EngineError: there is no GPU, or no plan runs on it; `UntrustedEngine` where one would.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        precision: str = "auto",
        gpu: int = 0,
        lanes: int = 1,
        cuda_graphs: bool = True,
        device: Device | None = None,
        timer: LaunchTimer | None = None,
        trust_engines: bool = False,
        plan: str | None = None,
    ) -> None:
        if isinstance(lanes, bool) or not isinstance(lanes, int) or lanes < 1:
            raise InvalidInput(f"lanes: got {lanes!r}, expected an integer of at least 1.")
        self._device = _open_device(gpu) if device is None else device
        self._bundle = bundle
        self._timer = timer
        packages = _Packages()
        here = Gpu(self._device.index, self._device.name, self._device.compute_capability)
        try:
            self._choice = choose_plans(
                bundle,
                gpu=here,
                precision=precision,
                version_of=packages.version_of,
                trust_engines=trust_engines,
                plan=plan,
            )
            if self._choice.note:
                warnings.warn(self._choice.note, StylertWarning, stacklevel=2)
            self._package = packages.get(self._choice.package)
            self._policy = _policy(cuda_graphs, self._package.name)
            with self._device.active():
                self._engines = {
                    MAPPING: self._open(bundle, self._choice.mapping),
                    SYNTHESIS: self._open(bundle, self._choice.synthesis),
                }
                self._delivery = self._device.open_stream()
        except BaseException:
            self._device.close()
            raise
        self.precision = self._choice.synthesis.precision
        self.max_batch = max(most for _, _, most in self._choice.synthesis.batches)
        self._opening = threading.Lock()  # of the encoder's engine, which few ask for
        build = tell_build(bundle, [self._choice.synthesis], here, self.precision)
        self._other_encoder = OtherEncoder(bundle, build)
        self._residents = ResidentArrays(self._device)
        self._broken = ""  # why, after a refit that failed halfway
        self._lanes = LanePool(self._new_lane, limit=lanes)

    def run(
        self, graphs: Graphs, feeds: Feeds, outputs: Sequence[str], *, on_device: bool = False
    ) -> list[DLPackArray]:
        """Run graphs in one launch: ws never leaves the GPU between them; see `Session.run`."""
        if self._broken:
            raise EngineError(f"This session is of no use: {self._broken}. Open the bundle again.")
        if other := [graph for graph in graphs if graph not in (MAPPING, SYNTHESIS, ENCODER)]:
            raise EngineError(
                f"{other[0]}: engines of TensorRT have none, expected backend='onnxruntime' or "
                "'openvino'."
            )
        last = graphs[-1]
        plan = self._plans.get(last)
        if plan is None:
            return self._other_encoder.run(feeds, outputs)
        batch = self._padded(feeds.count)
        self._check_outputs(plan, outputs)
        rows = feeds.draw_rows()
        with self._device.active(), self._lanes.take() as lane:
            if last == ENCODER:
                self._open_encoder(plan)
            lane.run(graphs, rows, feeds.constants, batch)
            deliver = lane.to_device_array if on_device else lane.to_numpy
            return [deliver(last, name, feeds.count) for name in outputs]

    def refit(self, bundle: Bundle) -> None:
        """Load the weights of another checkpoint of the same architecture. Calls wait meanwhile.

        The checkpoint's own noise is not in the engine: feed the other bundle's from now on.

        Raises:
            InvalidInput: the bundle is of another architecture.
            EngineError: the plans are not refittable, or TensorRT refuses. If it fails halfway, the
                session is of no use any more.
        """
        plans = [plan for graph, plan in self._plans.items() if graph in bundle.graphs]
        for plan in plans:
            if not plan.options.get("refittable"):
                raise EngineError(
                    f"refit: {plan.name} is not refittable. Build it again: stylert build-engine "
                    f"{self._bundle.path} --compiler {COMPILERS[plan.compiler]} --refittable"
                )
        graphs = {
            plan.graph: find_engine_graph(self._bundle, plan.graph, plan.precision)
            for plan in plans
        }
        for graph in graphs.values():
            _check_same_architecture(self._bundle, bundle, graph)
        with self._device.active(), self._lanes.all_idle() as idle:
            if ENCODER in graphs:
                self._open_encoder(self._plans[ENCODER])
            for lane in idle:  # a graph holds what it found when it was captured
                lane.forget_programs()
            try:
                for stage, graph in graphs.items():
                    self._engines[stage].refit(bundle.file(graph))
            except BaseException as error:
                self._broken = f"a refit failed halfway ({type(error).__name__})"
                raise
            self._broken = ""
            self._other_encoder.take(bundle)
            if ENCODER not in graphs:  # the other bundle has none, so nobody asks for it
                self._choice = replace(self._choice, encoder=None)

    def describe(self) -> dict[str, Any]:
        """What runs where."""
        major, minor = self._device.compute_capability
        facts = {} if ENCODER not in self._bundle.graphs else {"encoder": self._tell_encoder()}
        return {
            "backend": "tensorrt",
            "package": self._package.name,
            "version": self._package.version,
            "provider": "cuda",
            "gpu": self._device.name,
            "gpu_index": self._device.index,
            "compute_capability": f"{major}.{minor}",
            "precision": self.precision,
            "plans": [self._choice.mapping.name, self._choice.synthesis.name],
            **facts,
            "batches": [list(batch) for batch in self._choice.synthesis.batches],
            "cuda_graphs": self._policy.enabled,
            "cuda_graphs_why": self._policy.why,
        }

    def close(self) -> None:
        """Free the device's memory once the calls that run are done. Twice is no error."""
        with self._device.active():
            if self._lanes.close():
                with contextlib.ExitStack() as stack:  # from the last to the first, come what may
                    stack.callback(self._device.close)
                    stack.callback(self._package.release)
                    stack.callback(self._engines.clear)
                    for engine in self._engines.values():
                        stack.callback(engine.keep_kernels)
                    stack.callback(self._residents.free)
                    stack.callback(self._other_encoder.close)

    def _tell_encoder(self) -> str:
        plan = self._choice.encoder
        return "ONNX Runtime on the CPU" if plan is None else plan.name

    @property
    def _plans(self) -> dict[str, Plan]:
        """The plans by graph."""
        chosen = self._choice
        plans = {MAPPING: chosen.mapping, SYNTHESIS: chosen.synthesis}
        return plans if chosen.encoder is None else {**plans, ENCODER: chosen.encoder}

    def _open_encoder(self, plan: Plan) -> None:
        """Load the encoder's engine, if that is not done. The device is active."""
        with self._opening:
            if ENCODER not in self._engines:
                self._engines[ENCODER] = self._open(self._bundle, plan)

    def _check_outputs(self, plan: Plan, outputs: Sequence[str]) -> None:
        for name in outputs:
            if name not in plan.outputs:
                raise EngineError(
                    f"{plan.name} has the outputs {', '.join(plan.outputs)}, got {name!r}. Build "
                    "it with both: stylert build-engine "
                    f"{shlex.quote(str(self._bundle.path))} --compiler "
                    f"{COMPILERS[plan.compiler]} --output both"
                )

    def _padded(self, count: int) -> int:
        """The smallest batch that a profile runs and that holds `count` images."""
        profiles = self._choice.synthesis.batches
        sizes = [max(count, least) for least, _, most in profiles if count <= most]
        if not sizes or count < 1:
            raise EngineError(
                f"{self._choice.synthesis.name}: got a batch of {count}, expected 1 to "
                f"{self.max_batch}. Split it, or build an engine for larger batches."
            )
        return min(sizes)

    def _new_lane(self) -> Lane:
        return Lane(
            self._device,
            self._engines,
            self._residents,
            self._policy,
            self._delivery,
            max_batch=self.max_batch,
            timer=self._timer,
        )

    def _open(self, bundle: Bundle, plan: Plan) -> Engine:
        graph = bundle.graphs[find_engine_graph(bundle, plan.graph, plan.precision)]
        compiler = COMPILERS[plan.compiler]
        return Engine(
            self._package,
            plan,
            plan.read(bundle),
            graph,
            gpu=self._device.name,
            cuda_graphs=self._policy.enabled,
            rebuild=f"stylert build-engine {bundle.path} --compiler {compiler} --force",
        )


class _Packages:
    """The TensorRT packages, each imported at most once and only if a plan could need it."""

    def __init__(self) -> None:
        self._opened: dict[str, Package] = {}

    def get(self, name: str) -> Package:
        if name not in self._opened:
            self._opened[name] = Package(name)
        return self._opened[name]

    def version_of(self, name: str) -> str:
        return self.get(name).version


def _open_device(gpu: int) -> Device:
    from stylert.runtime.backends.cuda.device import open_device

    return open_device(gpu)


def _policy(wanted: bool, package: str) -> GraphPolicy:
    if not wanted:
        return GraphPolicy(False, "switched off")
    if package == "tensorrt_rtx":
        return GraphPolicy(True, "TensorRT-RTX captures them itself", built_in=True)
    return GraphPolicy(True, "one per batch size")


def _check_same_architecture(ours: Bundle, other: Bundle, graph: str) -> None:
    if graph not in other.graphs:
        raise InvalidInput(f"refit: {other.path} has no {graph} graph, expected one as here.")
    mine, theirs = ours.graphs[graph], other.graphs[graph]
    same = (mine.inputs, mine.outputs) == (theirs.inputs, theirs.outputs)
    if graph in (ENCODER, HALF_ENCODER):
        configs = [bundle.manifest[ENCODER].get("config") for bundle in (ours, other)]
        if not same or configs[0] != configs[1]:
            raise InvalidInput(
                f"refit: {other.path} has an encoder of another architecture, expected one as that "
                f"of {ours.path}. Build engines for it instead."
            )
    if other.family != ours.family or not same:
        raise InvalidInput(
            f"refit: {other.path} is of another architecture ({other.family}, "
            f"{other.spec.img_height}x{other.spec.img_width}), expected {ours.family}, "
            f"{ours.spec.img_height}x{ours.spec.img_width}. Build engines for it instead."
        )
