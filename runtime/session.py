"""What a backend is: something that opens a bundle's graphs and runs them on NumPy arrays."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

if TYPE_CHECKING:
    from stylert.runtime.bundle import Bundle
    from stylert.runtime.feeds import Feeds

__all__ = ["ANY_BATCH", "DLPackArray", "Graphs", "Session", "join"]

Graphs = tuple[Literal["mapping", "synthesis", "encoder", "gradient"], ...]  # as they are run

ANY_BATCH = 2**31 - 1  # the `max_batch` of a session without limits


class DLPackArray(Protocol):
    """A batch of images where it was drawn: a NumPy array on the CPU, a `DeviceArray` on a GPU.

    Either way torch, CuPy, JAX and NumPy take it over without a copy: `torch.from_dlpack(array)`.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the elements."""
        ...

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        ...

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        ...

    def __len__(self) -> int: ...

    def __dlpack__(self, *, stream: Any = None) -> Any: ...

    def __dlpack_device__(self) -> tuple[int, int]: ...


class Session(Protocol):
    """The graphs of a bundle, ready to run. Safe to call from several threads.

    Attributes:
        max_batch: images of one call, at most.
    """

    max_batch: int

    def run(
        self, graphs: Graphs, feeds: Feeds, outputs: Sequence[str], *, on_device: bool = False
    ) -> Sequence[DLPackArray]:
        """Run graphs, one after the other.

        Args:
            graphs: ('mapping',), ('synthesis',), both (then ws is not fed), or another one alone.
            feeds: of the inputs of these graphs, for up to `max_batch` images.
            outputs: names of those of the last graph that are wanted: 'ws' [N, num_ws, w_dim]
                float32; 'img' [N, C, H, W] float32, 'image' [N, H, W, C] uint8.
            on_device: leave them on the device, in memory of their own; the call need not wait for
                them, as whoever takes them over does. Else they are NumPy arrays.

        Raises:
            MissingExtra: `on_device`, and a package for it is not installed.
            EngineError: the backend failed.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """What runs where: backend, version, provider, device, threads, precision."""
        ...

    def refit(self, bundle: Bundle) -> None:
        """Load the weights of another checkpoint of the same architecture.

        Raises:
            InvalidInput: the bundle is of another architecture.
            EngineError: the backend or its engine cannot be refitted.
        """
        ...

    def close(self) -> None:
        """Free the device's memory."""
        ...


def join(parts: Iterator[DLPackArray], rows: int) -> DLPackArray:
    """One array of all parts, where they are: on the host, or on the GPU.

    Args:
        parts: at least one, each drawn when it is asked for.
        rows: of all of them together.
    """
    first = next(parts)
    every_part: Iterator[Any] = itertools.chain([first], parts)
    if isinstance(first, np.ndarray):
        return np.concatenate(list(every_part))
    of_device: Any = type(first)  # a `DeviceArray`: it knows how to join them where they are
    joined: DLPackArray = of_device.joined(every_part, rows)
    return joined
