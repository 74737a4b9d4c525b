"""What a backend is: something that opens a bundle's graphs and runs them on NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from stylert.runtime.bundle import Bundle

__all__ = ["DLPackArray", "EngineSession", "Session"]


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
    """The two graphs of a bundle, ready to run. Safe to call from several threads.

    A read-only array that owns its data is taken as constant: a backend may keep it on its device.
    """

    def map(self, feeds: Mapping[str, np.ndarray]) -> np.ndarray:
        """Run the mapping graph on its inputs by name: ws [N, num_ws, w_dim] float32."""
        ...

    def synthesize(
        self, feeds: Mapping[str, np.ndarray], outputs: Sequence[str]
    ) -> list[np.ndarray]:
        """Run the synthesis graph on its inputs by name; give the outputs that are named."""
        ...

    def synthesize_on_device(
        self, feeds: Mapping[str, np.ndarray], outputs: Sequence[str]
    ) -> Sequence[DLPackArray]:
        """Like `synthesize`; the pictures stay on the device, in memory of their own.

        The call need not wait for them: whoever takes them over does.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """What runs where: backend, version, provider, device, threads, precision."""
        ...

    def close(self) -> None:
        """Free the device's memory."""
        ...


@runtime_checkable
class EngineSession(Session, Protocol):
    """A session that also runs both graphs in one go."""

    max_batch: int  # images of one call at most

    def draw(self, feeds: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
        """Run mapping and synthesis on the inputs of both but ws; give the outputs named."""
        ...

    def draw_on_device(
        self, feeds: Mapping[str, np.ndarray], outputs: Sequence[str]
    ) -> Sequence[DLPackArray]:
        """Like `draw`; the pictures stay on the device, and the call need not wait for them."""
        ...

    def refit(self, bundle: Bundle) -> None:
        """Load the weights of another checkpoint of the same architecture."""
        ...
