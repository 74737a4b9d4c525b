"""`tensorrt` without a GPU: TensorRT-RTX parses and holds the network, the builder is made up.

It fails as TensorRT does on convolutions that have no half-precision kernel, keeps a timing cache
for its own version only, and records what it was configured with.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tensorrt_rtx

from stylert.engines.parsed_graph import ParsedGraph

# As in NVIDIA/TensorRT issue 4838.
NO_KERNEL = """No low-precision conv kernel available for this strongly-typed Conv/ConvTranspose. \
Failing node: {0}
IBuilder::buildSerializedNetwork: Error Code 10: Internal Error (Could not find any implementation \
for node {0}. In computeCosts at /_src/optimizer.cpp:4211)""".splitlines()


class FakeTensorRT:
    """Stands for the module `tensorrt`. `without_kernel` are convolutions it cannot do in half."""

    def __init__(self, *, version: str = "11.4.0.106", without_kernel: tuple[str, ...] = ()):
        self.__version__ = version
        self.without_kernel = without_kernel
        self.error: str | None = None  # what every build fails with
        self.starts = ""  # why it does not
        self.configs: list[FakeConfig] = []
        self.used: dict[str, int | None] = {}  # the GPU that was current, by call
        self.devices = Counter[str]()
        self._current = threading.local()

    def __getattr__(self, name: str) -> Any:
        return getattr(tensorrt_rtx, name)

    def Builder(self, logger: Any) -> FakeBuilder:  # noqa: N802
        self.used["Builder"] = self.current()
        if self.starts:
            logger.log(tensorrt_rtx.ILogger.Severity.ERROR, self.starts)
            raise TypeError("pybind11::init(): factory function returned nullptr")
        return FakeBuilder(self, logger)

    def current(self) -> int | None:
        """The GPU of this thread."""
        return getattr(self._current, "gpu", None)

    def open_device(self, index: int) -> FakeDevice:
        self.devices["opened"] += 1
        return FakeDevice(self, index)


class FakeDevice:
    """A GPU that can be made a thread's own."""

    def __init__(self, trt: FakeTensorRT, index: int) -> None:
        self._trt = trt
        self._index = index

    @contextmanager
    def active(self) -> Iterator[None]:
        self._trt._current.gpu = self._index
        yield
        self._trt._current.gpu = None

    def close(self) -> None:
        self._trt.devices["closed"] += 1


class FakeBuilder:
    def __init__(self, trt: FakeTensorRT, logger: Any) -> None:
        self._trt = trt
        self._logger = logger
        self._real = tensorrt_rtx.Builder(logger)

    def create_network(self, flags: int) -> tensorrt_rtx.INetworkDefinition:
        strongly_typed = int(tensorrt_rtx.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        assert flags == 1 << strongly_typed, "on 10.x, it would choose the precision itself"
        return self._real.create_network(flags)

    def create_optimization_profile(self) -> tensorrt_rtx.IOptimizationProfile:
        return self._real.create_optimization_profile()

    def create_builder_config(self) -> FakeConfig:
        config = FakeConfig(self._trt, self._real.create_builder_config())
        self._trt.configs.append(config)
        return config

    def build_serialized_network(self, network: Any, config: FakeConfig) -> memoryview | None:
        self._trt.used["build_serialized_network"] = self._trt.current()
        config.timings += b"+"
        parsed = ParsedGraph.__new__(ParsedGraph)  # only to look at the network
        parsed.trt, parsed.network = self._trt, network
        half = parsed.find_half_convolutions(" ".join(self._trt.without_kernel))
        errors = [line.format(half[0]) for line in NO_KERNEL] if half else []
        errors += [self._trt.error] if self._trt.error else []
        for error in errors:
            self._logger.log(tensorrt_rtx.ILogger.Severity.ERROR, error)
        return None if errors else memoryview(b"plan of " + network.name.encode())


class FakeTimingCache:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def serialize(self) -> memoryview:
        """Gives memory of the host, which is no bytes."""
        return memoryview(self.data)


class FakeConfig:
    """Takes what the real one takes, and remembers it."""

    def __init__(self, trt: FakeTensorRT, real: Any) -> None:
        self.__dict__.update(
            trt=trt, real=real, flags={trt.BuilderFlag.TF32}, pools={}, profiles=[], timings=b""
        )

    def __setattr__(self, name: str, value: Any) -> None:
        assert hasattr(tensorrt_rtx.IBuilderConfig, name) or name == "timings", name
        self.__dict__[name] = value

    def set_flag(self, flag: Any) -> None:
        self.flags.add(flag)

    def clear_flag(self, flag: Any) -> None:
        self.flags.discard(flag)

    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
        self.pools[pool] = pool_size

    def add_optimization_profile(self, profile: Any) -> int:
        self.profiles.append(profile)
        return int(self.real.add_optimization_profile(profile))

    def create_timing_cache(self, serialized_timing_cache: bytes) -> FakeTimingCache | None:
        return FakeTimingCache(serialized_timing_cache)

    def set_timing_cache(self, cache: FakeTimingCache, ignore_mismatch: bool) -> bool:
        header = self.trt.__version__.encode()
        if cache.data and not cache.data.startswith(header):
            return False
        self.timings = cache.data or header
        return True

    def get_timing_cache(self) -> FakeTimingCache | None:
        return FakeTimingCache(self.timings)
