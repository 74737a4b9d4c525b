"""What a backend is: something that opens a bundle's graphs and runs them on NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

__all__ = ["Session"]


class Session(Protocol):
    """The two graphs of a bundle, ready to run. Safe to call from several threads."""

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
