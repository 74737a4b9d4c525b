"""`tensorrt` on a machine that has torch and no TensorRT: engines run their ONNX graph by torch.

It is the fake TensorRT of the tests (tests/runtime/backends/fake_tensorrt.py), which runs graphs in
a pretended GPU's memory, with its rules: what is different is that everything under it is real. An
engine's kernels are queued on the very stream, read and write the very addresses, and are captured
by the very CUDA graph that the runtime asks for. Where torch has no CUDA, the same runs in the
host's memory over the stub of the driver (fake_driver.c), whose graphs call back.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import torch

HAS_CUDA = torch.cuda.is_available()
_HOST_CALL = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def stand_in(fake: ModuleType, graphs: ModuleType) -> Any:
    """A module that `import tensorrt` can find in `sys.modules`.

    Args:
        fake: the module fake_tensorrt, of this stand-in's own.
        graphs: the module onnx_on_torch.
    """
    if HAS_CUDA:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
        torch.backends.cudnn.deterministic = True  # a replay draws what eager kernels draw

    @cache
    def graph_of(path: str) -> Any:
        return graphs.TorchGraph(path, "cuda" if HAS_CUDA else "cpu")

    class Context(fake.Context):  # type: ignore[name-defined, misc]
        """Views of memory are made once: a capture may not ask the driver what an address is."""

        def _run(
            self, onnx: str, shapes: dict[str, tuple[int, ...]], addresses: dict[str, int]
        ) -> None:
            engine = self.engine
            graph = graph_of(onnx)
            pointer, size = self.memory
            assert size >= engine.get_device_memory_size_for_profile_v2(self.profile)
            self._view(pointer, (size,), np.dtype(np.uint8)).fill_(0x55)
            float32 = np.dtype(np.float32)
            feeds = {
                name: self._view(addresses[name], shapes[name], float32) for name in engine.inputs
            }
            self.world.seen.append((engine.graph, shapes))
            for name, made in zip(engine.outputs, graph.run(feeds, engine.outputs), strict=True):
                dtype = np.dtype(fake.nptype(engine.get_tensor_dtype(name)))
                self._view(addresses[name], tuple(made.shape), dtype).copy_(made)

        def _view(self, pointer: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> torch.Tensor:
            views = self.__dict__.setdefault("views", {})
            key = (pointer, shape, dtype)
            if key not in views:
                views[key] = view(pointer, shape, dtype)
            return views[key]  # type: ignore[no-any-return]

    fake.Context = Context  # type: ignore[attr-defined]
    return fake.module_of("tensorrt", fake.World(Streams()))


def view(pointer: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> torch.Tensor:
    """Memory at an address, as a tensor."""
    if HAS_CUDA:
        described = {"shape": shape, "typestr": dtype.str, "data": (pointer, False), "version": 3}
        holder = type("Memory", (), {"__cuda_array_interface__": described})()
        tensor = torch.as_tensor(holder, device="cuda")
        assert tensor.data_ptr() == pointer
        return tensor
    size = int(np.prod(shape)) * dtype.itemsize
    raw = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(pointer))
    return torch.from_numpy(raw.view(dtype).reshape(shape))


def release_memory() -> None:
    """Give back what torch keeps. No engine may be open: captured graphs use that memory, too."""
    if HAS_CUDA:
        torch.cuda.synchronize()
        torch._C._cuda_clearCublasWorkspaces()  # one for each stream that there ever was
        torch.cuda.empty_cache()


class Streams:
    """The world's device, as far as the fake asks for it: all streams that there are."""

    def __init__(self) -> None:
        self.streams = self

    def __getitem__(self, handle: int) -> Stream:
        return Stream(handle)


class Stream:
    """A stream by its handle."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    @property
    def captured(self) -> bool | None:
        """Whether it is being captured; None, as the fake has it, if not."""
        from cuda.bindings import driver

        status, captured = driver.cuStreamIsCapturing(self._handle)
        assert int(status) == 0
        return int(captured) != 0 or None

    def __setattr__(self, name: str, value: Any) -> None:
        assert name != "invalid", value  # the fake found a fault in the capture
        super().__setattr__(name, value)

    def queue(self, run: Callable[[], None]) -> None:
        """Have the kernels that `run` launches on the stream."""
        if HAS_CUDA:
            with torch.cuda.stream(torch.cuda.ExternalStream(self._handle)):
                run()
        else:
            _queue_on_host(self._handle, run, captured=bool(self.captured))


_kept: list[Any] = []  # the stub's graphs call them as long as they live
_failures: list[BaseException] = []


def _queue_on_host(handle: int, run: Callable[[], None], *, captured: bool) -> None:
    """On the stub's stream: at once, or whenever the graph that is being captured is launched."""

    def call(_: Any) -> None:
        try:
            run()
        except BaseException as error:
            _failures.append(error)

    callback = _HOST_CALL(call)
    if captured:
        _kept.append(callback)
    status = ctypes.CDLL("libcuda.so.1").cuLaunchHostFunc(ctypes.c_void_p(handle), callback, None)
    assert status == 0
    raise_failure()


def raise_failure() -> None:
    """Raise what a call of the stub raised: it had nobody to raise it into."""
    if _failures:
        raise _failures.pop(0)
