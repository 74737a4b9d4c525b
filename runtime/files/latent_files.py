"""Styles and directions from .npy and .npz files, as projectors and encoders write them.

No pickle is ever loaded: the files of torch.save and arrays of objects are converted first, by
`stylert convert`; the command line does so by itself.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import IO

import numpy as np

from stylert.runtime.arguments import shown
from stylert.runtime.bundle import GeneratorSpec
from stylert.runtime.errors import InvalidInput
from stylert.runtime.files.arrays import READING, holds_objects, read_header
from stylert.runtime.files.regular import open_file
from stylert.runtime.latents import check_floats

__all__ = ["fit_direction", "fit_ws", "is_pickled", "load_direction", "load_ws"]

MAX_BYTES = 2**30  # of an array: about 29,000 images of 18 x 512

_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"GIF8", b"BM", b"II*\0", b"MM\0*")
_NPY = b"\x93NUMPY"
_KEY = "w"  # what NVIDIA's projector calls its array


def load_ws(path: str | Path, spec: GeneratorSpec, *, key: str | None = None) -> np.ndarray:
    """Read styles [N, num_ws, w_dim] float32; `Generator.load_ws` says of what, and what it raises.

    Args:
        path: the file.
        spec: of the generator that is to draw them.
        key: name of the array in a .npz file.
    """
    return fit_ws(path, _floats(path, key), spec)


def fit_ws(path: str | Path, ws: np.ndarray, spec: GeneratorSpec) -> np.ndarray:
    """The float32 array of a file as ws [N, num_ws, w_dim]; see `load_ws`.

    Raises:
        InvalidInput: its shape does not fit.
    """
    num_ws, w_dim = spec.num_ws, spec.w_dim
    if ws.shape in ((w_dim,), (1, w_dim)):
        ws = ws.reshape(1, 1, w_dim)
    elif ws.shape == (num_ws, w_dim):
        ws = ws[None]
    if ws.ndim != 3 or ws.shape[1] not in (1, num_ws) or ws.shape[2] != w_dim or not len(ws):
        raise InvalidInput(
            f"{path}: got shape {ws.shape}, expected {('N', num_ws, w_dim)}, {(num_ws, w_dim)}, "
            f"{('N', 1, w_dim)} or {(w_dim,)}. Was it made for a generator of another size?"
        )
    return np.ascontiguousarray(np.broadcast_to(ws, (len(ws), num_ws, w_dim)))


def load_direction(path: str | Path, spec: GeneratorSpec, *, key: str | None = None) -> np.ndarray:
    """Read a direction [w_dim] or [num_ws, w_dim] float32; see `Generator.load_direction`.

    Args:
        path: the file.
        spec: of the generator that is to be edited.
        key: name of the array in a .npz file.
    """
    return fit_direction(path, _floats(path, key), spec)


def fit_direction(path: str | Path, direction: np.ndarray, spec: GeneratorSpec) -> np.ndarray:
    """The float32 array of a file as a direction; see `load_direction`.

    Raises:
        InvalidInput: its shape does not fit.
    """
    fitting = ((spec.w_dim,), (spec.num_ws, spec.w_dim))
    if direction.shape[:1] == (1,) and direction.shape[1:] in fitting:
        direction = direction[0]
    if direction.shape not in fitting:
        raise InvalidInput(
            f"{path}: got shape {direction.shape}, expected {fitting[0]} or {fitting[1]}. "
            "Was it made for a generator of another size?"
        )
    return direction


def is_pickled(path: str | Path) -> bool:
    """Whether a file holds a pickle, of torch.save or another, which the runtime does not open."""
    try:
        with open_file(path) as file:
            return _is_pickle(file)
    except Exception:  # whoever reads it says what is wrong
        return False


def _is_pickle(file: IO[bytes]) -> bool:
    """Whether an open file is a pickle, or an archive or an array that has one; not moved."""
    import zipfile  # slow to load

    head = file.read(6)
    file.seek(0)
    try:
        if head == _NPY:
            return holds_objects(file)
        if head[:2] == b"PK":
            with zipfile.ZipFile(file) as archive:
                return any(name.endswith("data.pkl") for name in archive.namelist())
        return head[:1] == b"\x80"
    finally:
        file.seek(0)


def _floats(path: str | Path, key: str | None) -> np.ndarray:
    """The array of a file, as float32."""
    if not isinstance(path, (str, os.PathLike)):
        raise InvalidInput(f"path: got {shown(path)}, expected a .npy or .npz file.")
    try:
        with open_file(path) as file:
            return check_floats(str(path), _array(Path(path), file, key))
    except InvalidInput:
        raise
    except (OSError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or "it does not fit into memory"
        raise InvalidInput(f"Cannot read {str(path)!r}: {reason}.") from None
    except Exception as error:  # zipfile, zlib and NumPy each have their own
        raise InvalidInput(
            f"Cannot read {str(path)!r}: it is damaged ({shown(error)}); make it again."
        ) from None


def _array(path: Path, file: IO[bytes], key: str | None) -> np.ndarray:
    """The array in an open file, its size checked before anything is unpacked."""
    import zipfile  # slow to load

    if _is_pickle(file):
        raise InvalidInput(
            f"{path}: it is a pickle, as torch.save writes it, which the runtime does not open. "
            f"Convert it: stylert convert {shlex.quote(str(path))} "
            f"{shlex.quote(str(_name_converted(path)))}"
        )
    head = file.read(6)
    file.seek(0)
    if head == _NPY:
        if key is not None:
            raise InvalidInput(f"key: got {shown(key)}, expected None: {path} holds one array.")
        return _read(path, file, os.fstat(file.fileno()).st_size)
    if head.startswith(_PICTURES):
        raise InvalidInput(
            f"{path}: it is a picture, expected its styles in a .npy, .npz or .pt file. Find them "
            "first: a projector or an encoder for this generator writes such a file."
        )
    if head[:2] != b"PK":
        raise InvalidInput(
            f"{path}: it is no .npy or .npz file. Write one: numpy.save({path.stem!r}, ws)"
        )
    with zipfile.ZipFile(file) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
        name = _chosen(path, [n.removesuffix(".npy") for n in sizes if n.endswith(".npy")], key)
        with archive.open(f"{name}.npy") as member:
            return _read(path, member, sizes[f"{name}.npy"])


def _read(path: Path, file: IO[bytes], size: int) -> np.ndarray:
    """The array of a .npy stream of `size` bytes."""
    if size > MAX_BYTES:
        raise InvalidInput(f"{path}: got {size} bytes, expected at most {MAX_BYTES}.")
    with READING:
        read_header(file, size)
        file.seek(0)
        array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _chosen(path: Path, names: list[str], key: str | None) -> str:
    """Name of the array that is meant."""
    if key is None and len(names) == 1:
        return names[0]
    wanted = _KEY if key is None else key
    if wanted not in names:
        there = ", ".join(map(repr, names[:8])) or "none"
        raise InvalidInput(
            f"{path}: got no array {shown(wanted)}, expected one of those in it: {there}. "
            f"Save a file of one array, or in Python pass key."
        )
    return wanted


def _name_converted(path: Path) -> Path:
    """The .npy file beside a pickle, of another name."""
    name = path.with_suffix(".npy")
    return name if name != path else path.with_name(f"{path.stem}-plain.npy")
