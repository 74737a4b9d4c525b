"""The pictures that a generator was trained on: a folder, a zip file, or WebDataset shards.

They must be as the generator's are, of the same size and channels: to resize them here would be a
choice that changes FID more than many a training does.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from stylert.apps.datasets import check_complete
from stylert.runtime.bundle import GeneratorSpec
from stylert.runtime.errors import InvalidInput
from stylert.runtime.files.regular import check_regular, open_file

__all__ = ["DataPictures", "open_data"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".npy")
MODES = {1: "L", 3: "RGB"}  # of Pillow, by channels
LABELS = "dataset.json"  # of StyleGAN's own data sets
MANIFEST = "manifest.jsonl"  # of ours

_State = tuple[str, int, int]  # of a file: its name, and what changes with it


@dataclass(frozen=True)
class _Entry:
    """A picture's file."""

    name: str
    read: Callable[[], bytes]
    label: Callable[[], int | None]


class DataPictures:
    """Pictures in the order of their names; they are read when they are asked for.

    Attributes:
        path: where they are.
    """

    def __init__(self, path: Path, spec: GeneratorSpec) -> None:
        entries, states = _list_all(path)
        self.path = path
        self._entries = list(entries)
        told = repr(list(states)).encode(errors="surrogateescape")
        self._state = hashlib.sha256(told).hexdigest()[:16]
        self._shape = spec.img_height, spec.img_width, spec.img_channels

    def __len__(self) -> int:
        return len(self._entries)

    def identity(self) -> dict[str, Any]:
        """What tells these pictures from others, also from those that were there before.

        Files of a folder and shards are known by their sizes and times, what is in a zip file by
        its checksums: to read all pictures would take as long as to see them.
        """
        first, last = self._entries[0].name, self._entries[-1].name
        where = str(self.path.resolve())
        return {"data": where, "first": first, "last": last, "files": self._state}

    def read(self, places: range) -> tuple[np.ndarray, list[int | None]]:
        """Some of the pictures: uint8 [n, H, W, C], and their classes. Safe in several threads.

        Raises:
            InvalidInput: one is damaged, or of another size or mode.
        """
        part = self._entries[places.start : places.stop]
        images = np.stack([self._decode(entry) for entry in part])
        return images, [entry.label() for entry in part]

    def _decode(self, entry: _Entry) -> np.ndarray:
        H, W, C = self._shape
        try:
            data = entry.read()
            array = _decode_array(data) if entry.name.endswith(".npy") else None
            if array is None:
                from PIL import Image

                with Image.open(io.BytesIO(data)) as picture:
                    mode, size = picture.mode, (picture.height, picture.width)
                    if mode != MODES.get(C) or size != (H, W):
                        raise InvalidInput(
                            f"data: got {self.path}, whose {entry.name} is {size[1]}x{size[0]} "
                            f"{mode}, expected {W}x{H} {MODES.get(C, f'of {C} channels')}, as the "
                            "generator draws. Prepare the pictures as they were for the training."
                        )
                    array = np.asarray(picture)
        except InvalidInput:
            raise
        except Exception as error:  # Pillow's own, of many kinds
            unknown = type(error).__name__ == "UnidentifiedImageError"  # which names an object
            reason = "of no known format" if unknown else " ".join(str(error).split())[:120]
            raise InvalidInput(
                f"data: got {self.path}, whose {entry.name} is no picture ({reason})."
            ) from None
        if array.ndim == 2:
            array = array[:, :, None]
        if array.shape != (H, W, C) or array.dtype != np.uint8:
            raise InvalidInput(
                f"data: got {self.path}, whose {entry.name} is {array.dtype} {array.shape}, "
                f"expected uint8 {(H, W, C)}, as the generator draws."
            )
        return array


def open_data(path: str | Path, spec: GeneratorSpec) -> DataPictures:
    """Find the pictures of a folder, with all below it, a zip file, a tar file or a folder of them.

    Args:
        path: where they are.
        spec: of the generator, whose pictures they are like.

    Raises:
        InvalidInput: there is no such place, there are no pictures, or it is a data set of ours
            that is not complete: figures of a part would be others.
    """
    path = Path(path)
    try:
        check_complete(path)
        pictures = DataPictures(path, spec)
    except InvalidInput as error:
        raise InvalidInput(f"data: {error}") from None
    except (OSError, ValueError, KeyError, tarfile.TarError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InvalidInput(f"data: got {path}, which cannot be read: {reason}") from None
    if not len(pictures):
        raise InvalidInput(
            f"data: got {path}, which holds no pictures, expected a folder, a .zip or .tar shards "
            f"of {', '.join(SUFFIXES)}."
        )
    return pictures


def _list_all(path: Path) -> tuple[Iterator[_Entry], Iterable[_State]]:
    """The pictures, and what changes when one of them or a label does, without reading any."""
    if path.suffix.lower() == ".zip" and path.is_file():
        archive = zipfile.ZipFile(path)
        states = sorted((m.filename, m.CRC, m.file_size) for m in archive.infolist())
        return _list_zip(archive), states
    if path.suffix.lower() == ".tar" and path.is_file():
        return _list_shards([path]), _find_states([path])
    if not path.is_dir():
        raise ValueError("there is no such folder, .zip or .tar file")
    if shards := sorted(path.glob("*.tar")):
        return _list_shards(shards), _find_states(shards)
    names = _list_names(path)
    told = [name for name in names if _is_picture(name) or name in (LABELS, MANIFEST)]
    return _list_folder(path, names), _find_states(path / name for name in told)


def _find_states(files: Iterable[Path]) -> Iterator[_State]:
    for file in files:
        found = file.stat()
        yield str(file), found.st_size, found.st_mtime_ns


def _list_names(folder: Path) -> list[str]:
    return sorted(
        os.path.relpath(os.path.join(root, name), folder).replace(os.sep, "/")
        for root, _, files in os.walk(folder)
        for name in files
    )


def _list_folder(folder: Path, names: list[str]) -> Iterator[_Entry]:
    labels = _read_labels(
        lambda name: (folder / name).read_bytes() if (folder / name).is_file() else None
    )
    for name in filter(_is_picture, names):
        yield _Entry(name, _call(_read_file, folder / name), _give(labels.get(name)))


def _list_zip(archive: zipfile.ZipFile) -> Iterator[_Entry]:
    names = set(archive.namelist())
    labels = _read_labels(lambda name: archive.read(name) if name in names else None)
    for name in filter(_is_picture, sorted(names)):
        yield _Entry(name, _call(archive.read, name), _give(labels.get(name)))


def _list_shards(shards: list[Path]) -> Iterator[_Entry]:
    """By an index of where the members lie; a sample's class is its member .cls."""
    for shard in shards:
        check_regular(shard)
        with tarfile.open(shard, "r:") as archive:
            places = {m.name: (m.offset_data, m.size) for m in archive if m.isfile()}
        for name in filter(_is_picture, places):
            read = _call(_read_part, shard, *places[name])
            of_class = places.get(f"{name.rpartition('.')[0]}.cls")
            label = _call(_read_class, shard, *of_class) if of_class else _give(None)
            yield _Entry(f"{shard.name}/{name}", read, label)


def _is_picture(name: str) -> bool:
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return name.lower().endswith(SUFFIXES) and not hidden


def _read_labels(read: Callable[[str], bytes | None]) -> dict[str, int]:
    """The classes by the names of pictures, of StyleGAN's dataset.json or of our manifest."""
    if (text := read(LABELS)) is not None:
        pairs = json.loads(text).get("labels") or []
        return {name: label for name, label in pairs if type(label) is int}
    if (text := read(MANIFEST)) is not None:
        records = [json.loads(line) for line in text.splitlines()]
        return {r["file"]: r["class_idx"] for r in records if type(r.get("class_idx")) is int}
    return {}


def _read_file(path: Path) -> bytes:
    with open_file(path) as file:
        return file.read()


def _read_part(path: Path, offset: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(size)


def _read_class(path: Path, offset: int, size: int) -> int | None:
    text = _read_part(path, offset, min(size, 20)).strip()
    return int(text) if text.isdigit() else None


def _decode_array(data: bytes) -> np.ndarray:
    return np.asarray(np.load(io.BytesIO(data), allow_pickle=False))


def _call(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    return lambda: function(*arguments)


def _give(value: Any) -> Callable[[], Any]:
    return lambda: value
