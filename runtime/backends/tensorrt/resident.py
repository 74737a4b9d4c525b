"""Inputs that never change, kept on the device: the checkpoint's own noise, and the zeros of none.

An array that nobody can write to, because it is read-only and owns its data (or is a view of one
that does), is uploaded once and recognised by its address from then on. Any other array is
uploaded with every call.
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
    array: np.ndarray  # kept, so that its address means no other array


class ResidentArrays:
    """Constant arrays on the device, shared by all lanes."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._entries: dict[tuple[str, int, int], _Resident] = {}
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()

    def address_of(self, name: str, array: np.ndarray, rows: int, stream: Stream) -> int | None:
        """Where a constant input lies on the device, repeated to `rows` rows.

        Args:
            name: of the input.
            array: one row.
            rows: that the device needs.
            stream: for the upload, if it is the first time; it is then synchronised.

        Returns:
            The address, None if the array is not constant or there are too many already.
        """
        if len(array) != 1 or not _is_constant(array):
            return None
        key = (name, array.__array_interface__["data"][0], rows)
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


def _is_constant(array: np.ndarray) -> bool:
    owner = array if array.base is None else array.base
    return isinstance(owner, np.ndarray) and owner.base is None and not owner.flags.writeable
