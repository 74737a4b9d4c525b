"""An engine as it is called here: by tensor names, with every return value checked.

TensorRT reports failures by an exception, as False, None or a list of names, and writes the reason
to its logger. So each of our errors names the call, the tensor, and what the logger said last.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stylert.runtime.backends.cuda.device import Stream
from stylert.runtime.backends.tensorrt.package import IN_TURN, Package, one_line
from stylert.runtime.backends.tensorrt.plans import Plan
from stylert.runtime.backends.tensorrt.refit_weights import with_float32_weights
from stylert.runtime.backends.tensorrt.runtime_cache import RuntimeCache
from stylert.runtime.bundle import GraphSpec
from stylert.runtime.errors import EngineError
from stylert.runtime.packages import install_command

__all__ = ["BoundContext", "Engine"]


class Engine:
    """A deserialised plan.

    Args:
        package: what runs it.
        plan: its sidecar.
        data: its bytes.
        graph: the graph that it was built from; their tensors must agree.
        gpu: name of the GPU.
        cuda_graphs: let TensorRT-RTX capture CUDA graphs, which it does itself.
        rebuild: the command that builds it again.

    Raises:
        EngineError: TensorRT refuses the plan, or its tensors are not those of the graph.
    """

    def __init__(
        self,
        package: Package,
        plan: Plan,
        data: bytes,
        graph: GraphSpec,
        *,
        gpu: str,
        cuda_graphs: bool,
        rebuild: str,
    ) -> None:
        self.plan = plan
        self._package = package
        self._rebuild = f"Build it again: {rebuild}"
        self._engine = package.load(data, plan, self._rebuild)
        self._trt = package.trt
        self._cuda_graphs = cuda_graphs
        self._runtime_cache: RuntimeCache | None = None
        if package.name == "tensorrt_rtx":
            with IN_TURN:
                config = self._engine.create_runtime_config()
                self._runtime_cache = RuntimeCache(config, plan, package.version, gpu)
            package.logger.clear()  # a cache that does not fit is no error
        self._rows: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}
        self._limits: dict[tuple[str, int], tuple[int, int]] = {}  # asked in every call
        self.inputs, self.outputs = self._names()
        self._check_tensors(graph)
        self._check_profiles()

    @property
    def scratch_bytes(self) -> int:
        """Size of the working memory that any of the profiles needs."""
        sizes = [
            self._engine.get_device_memory_size_for_profile_v2(profile)
            for profile in range(len(self.plan.batches))
        ]
        return max(256, *map(int, sizes))

    def find_profile(self, batch: int) -> int | None:
        """Index of the narrowest profile that runs this very batch, None if none does."""
        fitting = [
            (most - least, index)
            for index, (least, _, most) in enumerate(self.plan.batches)
            if least <= batch <= most
        ]
        return min(fitting)[1] if fitting else None

    def find_row(self, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and dtype of one row of an input or output."""
        return self._rows[name]

    def find_rows(self, name: str, profile: int) -> tuple[int, int]:
        """Least and largest first dimension that a profile allows an input."""
        key = (name, profile)
        if key not in self._limits:
            least, _, most = self._engine.get_tensor_profile_shape(name, profile)
            self._limits[key] = (int(least[0]), int(most[0]))
        return self._limits[key]

    def bind(
        self,
        *,
        batch: int,
        rows: Mapping[str, int],
        addresses: Mapping[str, int],
        scratch: tuple[int, int],
        stream: Stream,
    ) -> BoundContext:
        """A new execution context with all shapes and addresses set.

        Args:
            batch: images of one run.
            rows: first dimension of the inputs that have another one than the batch.
            addresses: device memory of every input and output.
            scratch: address and size of the working memory, shared with other contexts of the
                same stream.
            stream: that it will run on.

        Raises:
            EngineError: TensorRT refuses one of them.
        """
        try:
            with IN_TURN:
                bound = self._new_context()
                self._set_up(bound.context, batch, rows, addresses, scratch, stream)
        except EngineError:
            raise
        except Exception as error:  # some calls give False, and some raise
            what = f"{self.plan.graph}: setting up a batch of {batch} failed"
            raise self._package.error(what, error) from error
        return bound

    def _set_up(
        self,
        context: Any,
        batch: int,
        rows: Mapping[str, int],
        addresses: Mapping[str, int],
        scratch: tuple[int, int],
        stream: Stream,
    ) -> None:
        profile = self.find_profile(batch)
        assert profile is not None
        context.set_device_memory(*scratch)
        # The stream is synchronised before the first run's result is used, so this is ordered.
        self._must(
            context.set_optimization_profile_async(profile, stream.handle),
            f"set_optimization_profile_async({profile})",
        )
        for name in self.inputs:
            shape = (rows.get(name, batch), *self._rows[name][0])
            self._must(context.set_input_shape(name, shape), f"set_input_shape({name}, {shape})")
        for name in (*self.inputs, *self.outputs):
            self._must(
                context.set_tensor_address(name, addresses[name]), f"set_tensor_address({name})"
            )
        self._check_shapes(context, batch)

    def keep_kernels(self) -> None:
        """Keep what TensorRT-RTX has compiled for the next start."""
        if self._runtime_cache is not None:
            with IN_TURN:
                self._runtime_cache.save()

    def refit(self, onnx: Path) -> None:
        """Replace the weights by those of another ONNX file of the same architecture.

        Nothing may be running on the engine. After a failure the weights may be of both.

        Raises:
            EngineError: the plan is not refittable, or TensorRT refuses the file.
        """
        trt = self._trt
        if not hasattr(trt, "OnnxParserRefitter"):
            raise EngineError(
                f"refit: {self._package.name} has no ONNX parser, expected the full tensorrt. "
                f"Run: {install_command('gpu')}"
            )
        try:
            with IN_TURN:
                refitter = trt.Refitter(self._engine, self._package.logger)
                parser = trt.OnnxParserRefitter(refitter, self._package.logger)
                fits = parser.refit_from_bytes(with_float32_weights(onnx), str(onnx))
                reasons = [one_line(parser.get_error(i).desc()) for i in range(parser.num_errors)]
                missing = refitter.get_missing_weights() if fits else []
                done = bool(fits) and not missing and refitter.refit_cuda_engine()
        except Exception as error:
            raise self._package.error(f"refit from {onnx.name} failed", error) from error
        if not fits:
            told = f", {reasons[0][:200]}" if reasons else ""
            raise self._package.error(f"refit_from_bytes({onnx.name}) returned False{told}")
        if missing:
            raise self._package.error(f"refit: {onnx.name} lacks {len(missing)} weights")
        if not done:
            raise self._package.error("refit_cuda_engine returned False")

    def _new_context(self) -> BoundContext:
        trt = self._trt
        managed = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        if self._runtime_cache is None:
            context = self._engine.create_execution_context(managed)
            return self._bound(context)
        rtx = trt
        config = self._engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(managed)
        self._runtime_cache.attach(config)
        # A context keeps its shapes. By default it would run with general kernels until those for
        # them are compiled, and a picture could change in its last bit in between.
        eager = rtx.DynamicShapesKernelSpecializationStrategy.EAGER
        config.dynamic_shapes_kernel_specialization_strategy = eager
        if self._cuda_graphs:
            config.cuda_graph_strategy = rtx.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        context = self._engine.create_execution_context(config)
        return self._bound(context, config, self._runtime_cache)

    def _bound(
        self, context: Any, config: Any = None, cache: RuntimeCache | None = None
    ) -> BoundContext:
        self._must(context, "create_execution_context")
        return BoundContext(self._package, context, self.plan.graph, config, cache)

    def _must(self, returned: Any, call: str) -> Any:
        """What a call gave, unless it was None or False."""
        if returned is None or returned is False:
            raise self._package.error(f"{self.plan.graph}: {call} returned {returned}")
        return returned

    def _check_shapes(self, context: Any, batch: int) -> None:
        missing = context.infer_shapes()
        if missing:
            raise self._package.error(
                f"{self.plan.graph}: infer_shapes lacks the shape of {', '.join(missing)}"
            )
        for name in self.outputs:
            shape = tuple(context.get_tensor_shape(name))
            if shape != (batch, *self._rows[name][0]):
                raise self._package.error(
                    f"{self.plan.graph}: get_tensor_shape({name}) gave {shape}, expected "
                    f"{(batch, *self._rows[name][0])}"
                )

    def _names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        trt, engine = self._trt, self._engine
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        is_input = trt.TensorIOMode.INPUT
        inputs = tuple(name for name in names if engine.get_tensor_mode(name) == is_input)
        return inputs, tuple(name for name in names if name not in inputs)

    def _check_tensors(self, graph: GraphSpec) -> None:
        known = {t.name: t for t in (*graph.inputs, *graph.outputs)}
        wanted = {t.name for t in graph.inputs}
        if set(self.inputs) != wanted or not set(self.outputs) <= {t.name for t in graph.outputs}:
            raise EngineError(
                f"{self.plan.name}: got tensors {sorted({*self.inputs, *self.outputs})}, expected "
                f"the inputs {sorted(wanted)}. {self._rebuild}"
            )
        for name in (*self.inputs, *self.outputs):
            spec = known[name]
            dtype = np.dtype(self._trt.nptype(self._engine.get_tensor_dtype(name)))
            shape = tuple(int(size) for size in tuple(self._engine.get_tensor_shape(name))[1:])
            if dtype != np.dtype(spec.dtype) or shape != tuple(spec.shape[1:]):
                raise EngineError(
                    f"{self.plan.name}: {name} is {dtype} {shape}, expected {spec.dtype} "
                    f"{spec.shape[1:]}. {self._rebuild}"
                )
            self._rows[name] = (shape, dtype)

    def _check_profiles(self) -> None:
        count = int(self._engine.num_optimization_profiles)
        first = {"mapping": "z", "encoder": "photo"}.get(self.plan.graph, "ws")
        got = [self.find_rows(first, profile) for profile in range(count)]
        expected = [(least, most) for least, _, most in self.plan.batches]
        if got != expected:
            raise EngineError(
                f"{self.plan.name}: its profiles hold the batches {got}, but the sidecar says "
                f"{expected}. {self._rebuild}"
            )


class BoundContext:
    """An execution context that is ready to run, and never changed: a CUDA graph relies on it."""

    def __init__(
        self,
        package: Package,
        context: Any,
        graph: str,
        config: Any = None,
        cache: RuntimeCache | None = None,
    ) -> None:
        self._package = package
        self.context = context
        self._graph = graph
        self._config = config
        self._cache = cache

    def __del__(self) -> None:
        # The context uses the config, and both use the cache; the bindings keep none of them.
        del self.context
        del self._config
        del self._cache

    def enqueue(self, handle: int) -> None:
        """Queue one run on a stream.

        Raises:
            EngineError: TensorRT refuses.
        """
        try:
            done = self.context.execute_async_v3(handle)
        except Exception as error:
            raise self._package.error(f"{self._graph}: execute_async_v3 failed", error) from error
        if not done:
            raise self._package.error(f"{self._graph}: execute_async_v3 returned {done}")
