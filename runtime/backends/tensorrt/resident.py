"""Inputs that never change, kept on the device: the checkpoint's own noise, and the zeros of none.

Such an array is uploaded once, and recognised by being the same object from then on.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from stylert.runtime.backends.cuda.device import Device, Memory, Stream

__all__ = ["ResidentArrays"]

MAX_SETS = 4  # of arrays for the same input; more are uploaded with every call


@dataclass(frozen=True)
class _Resident:
    memory: Memory
    array: np.ndarray  # kept, so that its id means no other array


class ResidentArrays:
    """Constant arrays on the device, shared by all lanes."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._entries: dict[tuple[str, int, int], _Resident] = {}
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()

    def find_address(self, name: str, array: np.ndarray, rows: int, stream: Stream) -> int | None:
        """Where a constant input lies on the device, repeated to `rows` rows.

        Args:
            name: of the input.
            array: one row.
            rows: that the device needs.
            stream: for the upload, if it is the first time; it is then synchronised.

        Returns:
            The address, None if there are too many already.
        """
        key = (name, id(array), rows)
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                if self._counts.get(name, 0) >= MAX_SETS:
                    return None
                entry = _Resident(self._upload(array, rows, stream), array)
                self._entries[key] = entry
                self._counts[name] = self._counts.get(name, 0) + 1
            return entry.memory.pointer

    def free(self) -> None:
        """Free them all. None may be in use."""
        with self._lock:
            for entry in self._entries.values():
                entry.memory.free()
            self._entries.clear()
            self._counts.clear()

    def _upload(self, array: np.ndarray, rows: int, stream: Stream) -> Memory:
        size = array.nbytes * rows
        staging = self._device.pinned(size)
        try:
            staged = staging.array.view(array.dtype).reshape(rows, *array.shape[1:])
            staged[:] = array
            memory = self._device.allocate(size, stream)
            try:
                self._device.copy(memory.pointer, staging.pointer, size, stream)
                stream.sync()  # other streams may use it from here on
            except BaseException:
                memory.free()
                raise
            return memory
        finally:
            staging.free()
