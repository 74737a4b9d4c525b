"""The GPU that is meant by an index."""

from __future__ import annotations

from collections.abc import Sequence

from stylert.runtime.arguments import check_integer
from stylert.runtime.errors import InvalidInput
from stylert.runtime.machine import Gpu

__all__ = ["find_gpu"]


def find_gpu(gpus: Sequence[Gpu], index: int) -> Gpu:
    """A GPU of this machine by the index that CUDA gives it.

    Args:
        gpus: those that there are.
        index: of the one that is wanted.

    Raises:
        InvalidInput: there is none of this index.
    """
    check_integer("gpu", index, 0)
    for gpu in gpus:
        if gpu.index == index:
            return gpu
    known = ", ".join(f"{gpu.index} ({gpu.name})" for gpu in gpus) or "none: there is no GPU here"
    raise InvalidInput(f"gpu: got {index}, expected one of this machine's: {known}.")
