"""`StyleFile`: styles that someone found, which a data set draws instead of seeds."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from stylert.runtime.errors import InvalidInput

__all__ = ["StyleFile"]


@dataclass(frozen=True)
class StyleFile:
    """The styles of a file: row i is drawn as image i.

    Attributes:
        name: of the file, for job.json and the manifest.
        sha256: of the file.
        ws: [N, num_ws, w_dim] floats, None = only the name is known, and nothing can be drawn.
    """

    name: str
    sha256: str
    ws: np.ndarray | None = field(default=None, compare=False, repr=False)

    def __len__(self) -> int:
        return 0 if self.ws is None else len(self.ws)

    def take(self, places: range) -> np.ndarray:
        """The styles of some images: [n, num_ws, w_dim].

        Raises:
            InvalidInput: only the name is known.
        """
        if self.ws is None:
            raise InvalidInput(f"ws: got only the name of {self.name}, expected its styles, too.")
        return self.ws[places.start : places.stop]
