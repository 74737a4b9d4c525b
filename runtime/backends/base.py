"""What a backend is: something that opens a bundle's graphs and runs them on NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from stylert.runtime.backends.device_array import DeviceArray
    from stylert.runtime.bundle import Bundle

__all__ = ["EngineSession", "Session"]


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

    def describe(self) -> dict[str, Any]:
        """What runs where: backend, version, provider, device, threads, precision."""
        ...

    def close(self) -> None:
        """Free the device's memory."""
        ...


@runtime_checkable
class EngineSession(Session, Protocol):
    """A session that also runs both graphs in one go, and can leave the pictures on the device."""

    max_batch: int  # images of one call at most

    def draw(self, feeds: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
        """Run mapping and synthesis on the inputs of both but ws; give the outputs named."""
        ...

    def draw_on_device(
        self, feeds: Mapping[str, np.ndarray], outputs: Sequence[str]
    ) -> list[DeviceArray]:
        """Like `draw`; the pictures stay on the device, and the call does not wait for them."""
        ...

    def synthesize_on_device(
        self, feeds: Mapping[str, np.ndarray], outputs: Sequence[str]
    ) -> list[DeviceArray]:
        """Like `synthesize`; the pictures stay on the device, and the call does not wait."""
        ...

    def refit(self, bundle: Bundle) -> None:
        """Load the weights of another checkpoint of the same architecture."""
        ...
