"""The file of a projection: the styles, and what it takes to go on."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from stylert.runtime import InvalidInput
from stylert.runtime.files.publishing import publish_bytes
from stylert.runtime.files.regular import open_file

__all__ = ["read_state", "write_result"]

_STATE = "resume/"  # before the names of a state's arrays


def write_result(
    path: Path,
    ws: np.ndarray,
    *,
    noise: Mapping[str, np.ndarray] | None = None,
    state: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write styles as `generate --ws`, `edit`, `mix` and `video` take them.

    Args:
        path: a .npz file.
        ws: [N, num_ws, w_dim] float32, stored as 'w'.
        noise: that was found, too: [N, 1, h, w] by input name.
        state: of the projector, so that it can go on.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    arrays = {"w": ws, **(noise or {})}
    arrays |= {f"{_STATE}{name}": array for name, array in (state or {}).items()}
    data = io.BytesIO()
    np.savez(data, **arrays)  # type: ignore[arg-type]
    publish_bytes(path, data.getvalue())


def read_state(path: Path) -> dict[str, np.ndarray]:
    """The state in a file, to go on with.

    Raises:
        InvalidInput: no such file, or it has no state.
    """
    try:
        with open_file(path) as file, np.load(file, allow_pickle=False) as arrays:
            names = [name for name in arrays.files if name.startswith(_STATE)]
            state = {name.removeprefix(_STATE): arrays[name] for name in names}
    except Exception as error:  # zipfile, zlib and NumPy each have their own
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InvalidInput(f"resume: cannot read {path} ({reason}).") from None
    if not state:
        raise InvalidInput(f"resume: got {path}, which holds no projection that was interrupted.")
    return state
