"""A module like `tensorrt`, whose engines run the bundle's ONNX graphs with ONNX Runtime.

A plan is JSON that names its ONNX file. The rules that a real context has are kept: the first run
cannot be captured, a context that changes makes its graphs invalid, shapes must fit the profile.
"""

from __future__ import annotations

import enum
import json
import weakref
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime

VERSION = "11.4.0.106"


class Severity(enum.IntEnum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2
    INFO = 3
    VERBOSE = 4


class TensorIOMode(enum.IntEnum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class ExecutionContextAllocationStrategy(enum.IntEnum):
    STATIC = 0
    ON_PROFILE_CHANGE = 1
    USER_MANAGED = 2


class DataType(enum.IntEnum):
    FLOAT = 0
    HALF = 1
    INT8 = 2
    INT32 = 3
    BOOL = 4
    UINT8 = 5


def nptype(trt_type: DataType) -> type:
    """What NumPy calls a type; the bindings raise where it has none."""
    kinds = {DataType.FLOAT: np.float32, DataType.HALF: np.float16, DataType.UINT8: np.uint8}
    if trt_type not in kinds:
        raise TypeError(
            f"Could not resolve TensorRT datatype to an equivalent numpy datatype. {trt_type}"
        )
    return kinds[trt_type]


class ILogger:
    Severity = Severity

    def __init__(self) -> None:
        pass


class World:
    """What a test sees of the module, and how it makes calls fail."""

    def __init__(self, device: Any) -> None:
        self.device = device
        self.logger: Any = None
        self.rtx = False  # whether the module is tensorrt_rtx
        self.calls: Counter[str] = Counter()
        self.failing: dict[str, Any] = {}  # call -> what it returns, or an exception that it raises
        self.loaded: list[str] = []
        self.host_code: list[bool] = []
        self.contexts: weakref.WeakSet[Context] = weakref.WeakSet()
        self.compiled: list[Any] = []  # TensorRT-RTX: what no cache held
        self.driver = "580.65.06"
        self.seen: list[tuple[str, dict[str, tuple[int, ...]]]] = []  # graph and shapes of each run

    def log(self, severity: Severity, message: str) -> None:
        """To the logger of the last runtime, as TensorRT does."""
        self.logger.log(severity, message)

    def answer(self, call: str, returned: Any) -> Any:
        self.calls[call] += 1
        if call in self.failing:
            wrong = self.failing[call]
            if isinstance(wrong, Exception):
                raise wrong
            return wrong
        return returned


class Dims:
    """Sizes of a tensor: a sequence, and neither a list nor a tuple."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self._sizes = tuple(sizes)

    def __len__(self) -> int:
        return len(self._sizes)

    def __getitem__(self, index: int) -> int:
        return self._sizes[index]


class Runtime:
    world: World

    def __init__(self, logger: Any) -> None:
        self.world.logger = logger
        self.engine_host_code_allowed = False

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> Engine | None:
        self.world.host_code.append(self.engine_host_code_allowed)
        try:
            engine = Engine(self.world, json.loads(serialized_engine))
        except ValueError:
            self.world.log(Severity.ERROR, "Magic tag does not match")
            return None
        if "deserialize_cuda_engine" in self.world.failing:
            self.world.log(Severity.WARNING, "not this one")
            self.world.log(Severity.ERROR, "Serialization assertion\nfailed")
        return self.world.answer("deserialize_cuda_engine", engine)


class Engine:
    def __init__(self, world: World, plan: dict[str, Any]) -> None:
        self.world = world
        self.onnx = plan["onnx"]
        self.batches = plan["batches"]
        self.noise = plan.get("noise", "any")
        session = session_of(self.onnx)
        outputs = [t for t in session.get_outputs() if t.name in plan["outputs"]]
        self.tensors = {t.name: t for t in (*session.get_inputs(), *outputs)}
        self.inputs = [t.name for t in session.get_inputs()]
        self.outputs = [t.name for t in outputs]
        first = {"z": "mapping", "photo": "encoder"}
        self.graph = next((first[name] for name in self.inputs if name in first), "synthesis")
        self.num_io_tensors = len(self.tensors)
        self.num_optimization_profiles = len(self.batches)
        world.loaded.append(self.onnx)

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self.inputs else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        kinds = {"tensor(float)": DataType.FLOAT, "tensor(uint8)": DataType.UINT8}
        return self.world.answer("get_tensor_dtype", kinds[self.tensors[name].type])

    def get_tensor_shape(self, name: str) -> Dims:
        return Dims(self._sizes(name))

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[Dims]:
        return [Dims(sizes) for sizes in self.find_limits(name, profile_index)]

    def get_device_memory_size_for_profile_v2(self, profile_index: int) -> int:
        size = 3000 if self.graph == "encoder" else 1000
        return size * int(self.batches[profile_index][2])

    def create_runtime_config(self) -> RuntimeConfig:
        assert self.world.rtx, "not used here: full TensorRT has other strategies"
        return RuntimeConfig(self)

    def create_execution_context(
        self, strategy: ExecutionContextAllocationStrategy | RuntimeConfig
    ) -> Context | None:
        config = None
        if isinstance(strategy, RuntimeConfig):
            config, strategy = strategy, strategy.strategy
        assert strategy == ExecutionContextAllocationStrategy.USER_MANAGED
        context = Context(self, config)
        self.world.contexts.add(context)
        return self.world.answer("create_execution_context", context)

    def find_limits(self, name: str, profile: int) -> list[list[int]]:
        """The least, best and largest sizes of an input."""
        assert name in self.inputs
        rows = list(self.batches[profile])
        if name.startswith("noise") and self.noise != "own":
            rows = [1, 1, 1] if self.noise == "shared" else [1, *rows[1:]]
        return [[size, *self._sizes(name)[1:]] for size in rows]

    def _sizes(self, name: str) -> list[int]:
        return [size if isinstance(size, int) else -1 for size in self.tensors[name].shape]


class RuntimeConfig:
    """Of TensorRT-RTX. Contexts use it, and do not keep it alive."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.strategy = ExecutionContextAllocationStrategy.STATIC
        self.cuda_graph_strategy = CudaGraphStrategy.DISABLED
        self.dynamic_shapes_kernel_specialization_strategy = (
            DynamicShapesKernelSpecializationStrategy.LAZY
        )
        self.cache: weakref.ref[RuntimeCache] | None = None

    def set_execution_context_allocation_strategy(self, strategy: Any) -> None:
        self.strategy = strategy

    def create_runtime_cache(self) -> RuntimeCache:
        return RuntimeCache(self.engine.world)

    def set_runtime_cache(self, cache: RuntimeCache) -> bool:
        if taken := self.engine.world.answer("set_runtime_cache", True):
            self.cache = weakref.ref(cache)
        return taken


class RuntimeCache:
    """What was compiled, by graph and shapes; it is for one driver."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.kernels: list[Any] = []

    def deserialize(self, blob: bytes) -> bool:
        assert self.world.device.is_active, "it asks the driver"
        try:
            driver, kernels = json.loads(blob)
        except ValueError:
            return self.world.answer("deserialize", False)
        if driver != self.world.driver:
            return self.world.answer("deserialize", False)
        self.kernels = kernels
        return self.world.answer("deserialize", True)

    def serialize(self) -> memoryview | None:
        """Gives memory of the host, which is no bytes."""
        data = json.dumps([self.world.driver, self.kernels]).encode()
        return self.world.answer("serialize", memoryview(data))


class Context:
    def __init__(self, engine: Engine, config: RuntimeConfig | None) -> None:
        self.engine = engine
        self.config = None if config is None else weakref.ref(config)
        self.world = engine.world
        self.changes = 0  # a graph is only valid while this stays as it was
        self.runs = 0
        self.profile = -1
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.memory = (0, 0)

    def set_device_memory(self, memory: int, size: int) -> None:
        assert memory % 256 == 0
        self.memory = (memory, size)
        self.changes += 1

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        """Never gives False: the bindings raise."""
        self.profile = profile_index
        self.changes += 1
        if "set_optimization_profile_async" in self.world.failing:
            self.world.log(Severity.ERROR, "profile index is\ninvalid")
            raise RuntimeError("Error in set optimization profile async.")
        return self.world.answer("set_optimization_profile_async", True)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert type(shape) in (tuple, list, Dims)
        least, _, most = self.engine.find_limits(name, self.profile)
        fits = all(a <= size <= b for a, size, b in zip(least, shape, most, strict=True))
        self.shapes[name] = tuple(shape)
        self.changes += 1
        return self.world.answer("set_input_shape", fits)

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self.addresses[name] = memory
        self.changes += 1
        return self.world.answer("set_tensor_address", name in self.engine.tensors)

    def infer_shapes(self) -> list[str]:
        missing = [name for name in self.engine.inputs if name not in self.shapes]
        return self.world.answer("infer_shapes", missing)

    def get_tensor_shape(self, name: str) -> Dims:
        first = {"mapping": "z", "encoder": "photo"}.get(self.engine.graph, "ws")
        batch = self.shapes[first][0]
        shape = [batch, *tuple(self.engine.get_tensor_shape(name))[1:]]
        return Dims(self.world.answer("get_tensor_shape", shape))

    def execute_async_v3(self, stream_handle: int) -> bool:
        device = self.world.device
        stream = device.streams[stream_handle]
        assert stream_handle != 1, "the default stream"
        self.runs += 1
        if self.config is not None:
            self._compile(self.config())
        if stream.captured is not None and self.runs == 1:
            stream.invalid = "the context's first run"
        done = self.world.answer("execute_async_v3", True)
        if stream.captured is not None and "in_capture" in self.world.failing:
            stream.invalid = "operation not permitted"
            return False
        if done is True:
            changes, shapes, addresses = self.changes, dict(self.shapes), dict(self.addresses)
            onnx = self.engine.onnx  # refit changes it: an old graph would draw the old weights

            def run() -> None:
                assert self.changes == changes, "the context was changed after the capture"
                self._run(onnx, shapes, addresses)

            stream.queue(run)
        return done

    def _compile(self, config: RuntimeConfig | None) -> None:
        assert config is not None, "the config is gone before its context"
        cache = RuntimeCache(self.world) if config.cache is None else config.cache()
        assert cache is not None, "the cache is gone before its context"
        shapes = sorted((name, list(shape)) for name, shape in self.shapes.items())
        kernel = json.loads(json.dumps([self.engine.graph, shapes]))
        if kernel not in cache.kernels:
            cache.kernels.append(kernel)
            self.world.compiled.append(kernel)

    def _run(
        self, onnx: str, shapes: dict[str, tuple[int, ...]], addresses: dict[str, int]
    ) -> None:
        device, engine = self.world.device, self.engine
        pointer, size = self.memory
        assert size >= engine.get_device_memory_size_for_profile_v2(self.profile)
        device.view(pointer, size)[:] = 0x55  # the working memory is written to
        feeds = {}
        for name in engine.inputs:
            count = int(np.prod(shapes[name])) * 4
            raw = device.view(addresses[name], count)
            feeds[name] = raw.view(np.float32).reshape(shapes[name]).copy()
            assert np.isfinite(feeds[name]).all(), name
        self.world.seen.append((engine.graph, {k: v.shape for k, v in feeds.items()}))
        arrays = session_of(onnx).run(engine.outputs, feeds)
        for name, array in zip(engine.outputs, arrays, strict=True):
            raw = device.view(addresses[name], array.nbytes)
            raw[:] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)


class Refitter:
    def __init__(self, engine: Engine, logger: Any) -> None:
        self.engine = engine
        self.world = engine.world
        self.onnx = ""

    def get_missing_weights(self) -> list[str]:
        return self.world.answer("get_missing_weights", [])

    def refit_cuda_engine(self) -> bool:
        done = self.world.answer("refit_cuda_engine", True)
        if done:
            self.engine.onnx = self.onnx
        return done


class ParserError:
    def desc(self) -> str:
        return "no such\nweight"


class OnnxParserRefitter:
    def __init__(self, refitter: Refitter, logger: Any) -> None:
        self.refitter = refitter
        self.num_errors = 0

    def refit_from_bytes(self, model: bytes, path: str) -> bool:
        assert Path(path).is_file()
        names = [tensor.name for tensor in onnx.load_from_string(model).graph.initializer]
        assert not [name for name in names if name.endswith("_half")], "no engine has such weights"
        self.refitter.onnx = path
        done = self.refitter.world.answer("refit_from_bytes", True)
        self.num_errors = 0 if done else 1
        return done

    def get_error(self, index: int) -> ParserError:
        return ParserError()


class CudaGraphStrategy(enum.IntEnum):
    DISABLED = 0
    WHOLE_GRAPH_CAPTURE = 1


class DynamicShapesKernelSpecializationStrategy(enum.IntEnum):
    LAZY = 0
    EAGER = 1
    NONE = 2


def module_of(name: str, world: World, version: str = VERSION) -> Any:
    """A module that `import` can find in `sys.modules`."""
    module: Any = ModuleType(name)
    module.__version__ = version
    module.ILogger = ILogger
    module.TensorIOMode = TensorIOMode
    module.ExecutionContextAllocationStrategy = ExecutionContextAllocationStrategy
    module.nptype = nptype
    module.Runtime = type("Runtime", (Runtime,), {"world": world})
    module.Refitter = Refitter
    if name != "tensorrt_lean":
        module.OnnxParserRefitter = OnnxParserRefitter
    if name == "tensorrt_rtx":
        module.CudaGraphStrategy = CudaGraphStrategy
        module.DynamicShapesKernelSpecializationStrategy = DynamicShapesKernelSpecializationStrategy
        world.rtx = True
    return module


@cache
def session_of(onnx: str) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
