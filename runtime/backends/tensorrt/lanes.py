"""Lanes: what one call needs to itself on the device. Several calls at once take several lanes.

A lane is a stream, the buffers of all tensors, and the programs that are bound to them. The buffers
are made when they are first used and keep their addresses, so that CUDA graphs stay valid.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from stylert.runtime.backends.cuda.device import Device, Event, HostMemory, Memory, Stream
from stylert.runtime.backends.cuda.device_array import DeviceArray
from stylert.runtime.backends.cuda.launch_timer import LaunchTimer
from stylert.runtime.backends.tensorrt.cuda_graphs import GraphPolicy, Program, make_program
from stylert.runtime.backends.tensorrt.engine import Engine
from stylert.runtime.backends.tensorrt.resident import ResidentArrays
from stylert.runtime.bundle import is_noise
from stylert.runtime.errors import EngineError

__all__ = ["Lane", "LanePool"]

MAX_PROGRAMS = 16  # of a lane: buckets x noise; the one that was used longest ago goes first


class Lane:
    """A stream with its buffers and programs. Used by one thread at a time, the device active.

    Args:
        device: the GPU.
        engines: by graph: 'mapping', 'synthesis', and 'encoder' once that is asked for.
        residents: constant inputs, shared with the other lanes.
        policy: of CUDA graphs, shared with the other lanes.
        delivery: the stream of arrays that stay on the device, shared with the other lanes. They
            outlive the call, and must never meet a lane's stream while it captures.
        max_batch: the largest batch of any run.
        timer: takes the time of the launches, None = nobody asks.
    """

    def __init__(
        self,
        device: Device,
        engines: Mapping[str, Engine],
        residents: ResidentArrays,
        policy: GraphPolicy,
        delivery: Stream,
        *,
        max_batch: int,
        timer: LaunchTimer | None = None,
    ) -> None:
        self._device = device
        self._engines = engines
        self._residents = residents
        self._policy = policy
        self._delivery = delivery
        self._stream = device.open_stream()
        self._slots: dict[str, _Slot] = {}
        # What a constant input was last placed as: there are many, and this is asked in every call.
        self._constants: dict[tuple[str, int], tuple[np.ndarray, int, int]] = {}
        self._programs: OrderedDict[Any, Program] = OrderedDict()
        self._scratch: list[tuple[Memory, int]] = []  # working memory of contexts, and its size
        self._inputs_taken: Event | None = None  # until then the staging memory is being read
        self._max_batch = max_batch
        self._timer = timer

    def run(
        self,
        stages: Sequence[str],
        feeds: Mapping[str, np.ndarray],
        constants: Mapping[str, np.ndarray],
        batch: int,
    ) -> None:
        """Queue the graphs in `stages` one after the other.

        Args:
            stages: 'mapping', 'synthesis', both (ws then stays on the device), or 'encoder'.
            feeds: inputs by name, each of one row or of as many as images are wanted.
            constants: the other inputs, of one row: the same arrays in every call.
            batch: images that are run, so that a profile fits; those beyond are padding.

        Raises:
            EngineError: the device or TensorRT failed. The lane is of no use any more.
        """
        if self._inputs_taken is not None:
            self._inputs_taken.sync()
            self._inputs_taken = None
        addresses: dict[str, int] = {}
        rows: dict[str, int] = {}
        for stage in stages:
            for name in self._engines[stage].inputs:
                if name in addresses:  # ws, from the stage before
                    continue
                placed = (
                    self._place_constant(stage, name, constants[name], batch)
                    if name in constants
                    else self._place(stage, name, feeds[name], batch)
                )
                rows[name], addresses[name] = placed
            for name in self._engines[stage].outputs:
                addresses[name] = self._slot(stage, name).memory.pointer
        self._inputs_taken = self._device.record(self._stream)
        program = self._program(tuple(stages), batch, rows, addresses)
        with contextlib.nullcontext() if self._timer is None else self._timer.around(self._stream):
            program.launch(self._stream)

    def to_numpy(self, stage: str, name: str, count: int) -> np.ndarray:
        """An output of the last run, on the host: the call waits for it."""
        slot = self._slot(stage, name)
        size = slot.row_bytes * count
        self._device.copy(slot.staging.pointer, slot.memory.pointer, size, self._stream)
        self._stream.sync()
        self._inputs_taken = None
        return slot.staged(count).copy()

    def to_device_array(self, stage: str, name: str, count: int) -> DeviceArray:
        """An output of the last run in memory of its own. The call does not wait for it."""
        slot = self._slot(stage, name)
        self._device.wait(self._delivery.handle, self._device.record(self._stream))
        array = DeviceArray.copy_of(
            self._device,
            slot.memory.pointer,
            self._delivery,
            shape=(count, *slot.shape),
            dtype=slot.dtype,
        )
        self._device.wait(self._stream.handle, array.ready)  # before the next run overwrites it
        return array

    def forget_programs(self) -> None:
        """Free all contexts and graphs, once they are done."""
        with contextlib.ExitStack() as stack:  # runs from the last to the first, come what may
            for program in self._programs.values():
                stack.callback(program.free)
            stack.callback(self._stream.sync)
        self._programs.clear()

    def close(self) -> None:
        """Free everything, in this order: graphs, contexts, buffers. Twice is no error."""
        with contextlib.ExitStack() as stack:
            for slot in self._slots.values():
                stack.callback(slot.free)
            for memory, _ in self._scratch:
                stack.callback(memory.free)
            stack.callback(self.forget_programs)

    def _place_constant(
        self, stage: str, name: str, array: np.ndarray, batch: int
    ) -> tuple[int, int]:
        """Find an input on the device that is there for good: how many rows it has, and where."""
        known = self._constants.get((name, batch))
        if known is not None and known[0] is array:
            return known[1:]
        rows = self._rows(stage, name, len(array), batch)
        resident = self._residents.find_address(name, array, rows, self._stream)
        if resident is None:
            return self._place(stage, name, array, batch)
        self._constants[name, batch] = (array, rows, resident)
        return rows, resident

    def _place(self, stage: str, name: str, array: np.ndarray, batch: int) -> tuple[int, int]:
        """Bring an input to the device: how many rows it has there, and where."""
        rows = self._rows(stage, name, len(array), batch)
        slot = self._slot(stage, name)
        filled = rows if len(array) == 1 else len(array)  # one row serves them all
        staged = slot.staged(filled)
        staged[:] = array
        self._device.copy(
            slot.memory.pointer, slot.staging.pointer, slot.row_bytes * filled, self._stream
        )
        return rows, slot.memory.pointer

    def _rows(self, stage: str, name: str, given: int, batch: int) -> int:
        """The first dimension to run with: noise that all images share may have only one row."""
        if not is_noise(name):
            return batch
        engine = self._engines[stage]
        profile = engine.find_profile(batch)
        assert profile is not None
        least, most = engine.find_rows(name, profile)
        wanted = 1 if given == 1 and least == 1 else batch
        if not least <= wanted <= most:
            raise EngineError(
                f"{engine.plan.name}: {name} takes {least} to {most} rows, got {wanted} for a "
                f"batch of {batch}. Draw one image at a time, or use noise that all images share."
            )
        return wanted

    def _program(
        self,
        stages: tuple[str, ...],
        batch: int,
        rows: Mapping[str, int],
        addresses: Mapping[str, int],
    ) -> Program:
        key = (stages, batch, tuple(rows.items()), tuple(addresses.items()))
        program = self._programs.get(key)
        if program is not None:
            self._programs.move_to_end(key)
            return program
        scratch = self._find_scratch()
        while len(self._programs) >= MAX_PROGRAMS:
            self._stream.sync()
            self._programs.popitem(last=False)[1].free()
        program = make_program(
            lambda: [
                self._engines[stage].bind(
                    batch=batch,
                    rows=rows,
                    addresses=addresses,
                    scratch=scratch,
                    stream=self._stream,
                )
                for stage in stages
            ],
            self._device,
            self._stream,
            self._policy,
        )
        self._programs[key] = program
        for stage in stages:
            self._engines[stage].keep_kernels()  # a process that is killed does not close
        return program

    def _find_scratch(self) -> tuple[int, int]:
        """Address and size of working memory that is enough for all engines that are open.

        One that is opened later may need more. Programs that are bound to the smaller one keep it.
        """
        size = max(engine.scratch_bytes for engine in list(self._engines.values()))
        if not self._scratch or self._scratch[-1][1] < size:
            self._scratch.append((self._device.allocate(size, self._stream), size))
        memory, available = self._scratch[-1]
        return memory.pointer, available

    def _slot(self, stage: str, name: str) -> _Slot:
        if name not in self._slots:
            shape, dtype = self._engines[stage].find_row(name)
            self._slots[name] = _Slot(self._device, self._stream, shape, dtype, self._max_batch)
        return self._slots[name]


class _Slot:
    """One tensor's place on the device, and its pinned staging memory on the host."""

    def __init__(
        self,
        device: Device,
        stream: Stream,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        max_batch: int,
    ) -> None:
        self.shape = shape  # of a row
        self.dtype = dtype
        self.row_bytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        self._size = self.row_bytes * max_batch
        self._device = device
        self._stream = stream
        self._memory: Memory | None = None
        self._staging: HostMemory | None = None

    @property
    def memory(self) -> Memory:
        """On the device. Zeroed once, so that padding is never NaN."""
        if self._memory is None:
            self._memory = self._device.allocate(self._size, self._stream)
            self._device.zero(self._memory, self._stream)
        return self._memory

    @property
    def staging(self) -> HostMemory:
        """On the host."""
        if self._staging is None:
            self._staging = self._device.pinned(self._size)
        return self._staging

    def staged(self, rows: int) -> np.ndarray:
        """The first rows of the staging memory, as an array."""
        raw = self.staging.array[: rows * self.row_bytes]
        return raw.view(self.dtype).reshape(rows, *self.shape)

    def free(self) -> None:
        if self._memory is not None:
            self._memory.free()
        if self._staging is not None:
            self._staging.free()


class LanePool:
    """Hands lanes out to threads, and makes new ones up to a limit."""

    def __init__(self, make: Callable[[], Lane], *, limit: int) -> None:
        self._make = make
        self._limit = limit
        self._idle: list[Lane] = []
        self._busy = 0
        self._held = False  # by `all_idle`: nobody gets a lane meanwhile
        self._closed = False
        self._changed = threading.Condition()

    @contextmanager
    def take(self) -> Iterator[Lane]:
        """A lane for one call; waits until one is free. A lane whose call failed is thrown away.

        Raises:
            EngineError: the pool is closed.
        """
        lane = self._acquire()
        failed = True
        try:
            if lane is None:
                lane = self._make()
            yield lane
            failed = False
        finally:
            if failed and lane is not None:
                with contextlib.suppress(Exception):  # the first error is the one to tell
                    lane.close()
            with self._changed:
                self._busy -= 1
                if lane is not None and not failed:
                    self._idle.append(lane)
                self._changed.notify_all()

    @contextmanager
    def all_idle(self) -> Iterator[list[Lane]]:
        """All lanes, once no call uses one; calls that come meanwhile wait."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._held)
            self._refuse_if_closed()
            self._held = True
            self._changed.wait_for(lambda: not self._busy)
        try:
            yield list(self._idle)
        finally:
            with self._changed:
                self._held = False
                self._changed.notify_all()

    def close(self) -> bool:
        """Close all lanes once the calls that run are done; later calls are an error.

        Returns:
            Whether this call closed them: False if an earlier one did.
        """
        with self._changed:
            if self._closed:
                return False
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._busy and not self._held)
            lanes, self._idle = self._idle, []
        with contextlib.ExitStack() as stack:
            for lane in lanes:
                stack.callback(lane.close)
        return True

    def _acquire(self) -> Lane | None:
        """An idle lane, or None where the caller shall make one."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or (not self._held and self._busy < self._limit)
            )
            self._refuse_if_closed()
            self._busy += 1
            return self._idle.pop() if self._idle else None

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise EngineError("This session is closed. Open the bundle again: stylert.open(path)")
