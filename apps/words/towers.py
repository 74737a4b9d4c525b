"""The networks of a pair, told by their types: which takes pictures, which takes tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stylert.runtime.arguments import shown
from stylert.runtime.errors import EngineError, InvalidInput
from stylert.runtime.files.network_files import open_network
from stylert.runtime.packages import import_extra

__all__ = ["Tower", "find_towers"]

_INTEGERS = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
# Endings of names of the same network in other precisions, as transformers.js has them.
_VARIANTS = ("_fp16", "_int8", "_uint8", "_quantized", "_q4", "_q4f16", "_bnb4")
_FOLDERS = (".", "onnx")  # where the files may lie


@dataclass(frozen=True)
class Tower:
    """A network that gives a point of the common space for each row.

    Attributes:
        file: its ONNX file.
        session: of ONNX Runtime.
        input: name of the pictures or tokens.
        mask: name of the attention mask, '' where there is none.
        output: name of the points.
        shape: of the input; dimensions that are free are no integers.
        dtype: of the input.
        others: what the network asks for besides: rows for the other tower.
    """

    file: Path
    session: Any
    input: str
    mask: str
    output: str
    shape: tuple[Any, ...]
    dtype: Any
    others: Mapping[str, np.ndarray]

    def run(self, rows: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        """The points [N, d] float32 of pictures or tokens.

        Raises:
            EngineError: ONNX Runtime failed.
        """
        feeds = {**self.others, self.input: rows.astype(self.dtype, copy=False)}
        if self.mask and mask is not None:
            feeds[self.mask] = mask.astype(self.dtype, copy=False)
        fixed = isinstance(self.shape[0], int)
        try:
            if fixed and len(rows) != self.shape[0]:
                return self._run_in_parts(feeds)
            return np.asarray(self.session.run([self.output], feeds, self._only())[0])
        except EngineError:
            raise
        except Exception as error:  # ONNX Runtime's own classes
            reason = " ".join(str(error).split())[:200]
            raise EngineError(f"clip: {self.file.name} failed: {reason}") from None

    def _run_in_parts(self, feeds: Mapping[str, np.ndarray]) -> np.ndarray:
        """Of a network whose number of rows is fixed: so many at a time, the last ones repeated."""
        count, own = self.shape[0], {self.input, self.mask} - {""}
        total = len(feeds[self.input])
        parts = []
        for start in range(0, total, count):
            rows = np.minimum(np.arange(start, start + count), total - 1)
            part = {name: a[rows] if name in own else a for name, a in feeds.items()}
            parts.append(self.session.run([self.output], part, self._only())[0])
        return np.concatenate(parts)[:total]

    @staticmethod
    def _only() -> Any:
        """Run what the points need alone: not the other tower of the same file."""
        options = import_extra("onnxruntime", "onnxruntime", extra="cpu").RunOptions()
        options.only_execute_path_to_fetches = True
        return options


def find_towers(folder: Path, *, threads: int | None) -> tuple[Tower, Tower]:
    """The image tower and the text tower of a folder.

    Args:
        folder: of .onnx files: two networks, or one that does both.
        threads: CPU threads of a call, None = all CPUs that this process may use.

    Raises:
        InvalidInput: not one of each, or a file that ONNX Runtime cannot read.
        MissingExtra: ONNX Runtime is not installed.
    """
    files = _list_files(folder)
    if not files:
        raise InvalidInput(
            f"clip: got {shown(str(folder))}, which has no .onnx file, expected a network of "
            "pictures and one of texts."
        )
    images: list[Tower] = []
    texts: list[Tower] = []
    whole: list[tuple[Tower, Tower]] = []
    for file in files:
        session = open_network(file, argument="clip", threads=threads)
        image, text = _tell_kinds(file, session)
        if image is not None and text is not None:
            whole.append((image, text))
            continue
        images += [image] if image is not None else []
        texts += [text] if text is not None else []
    if not images and not texts:  # two networks of their own are smaller than one that does both
        images, texts = [image for image, _ in whole], [text for _, text in whole]
    for found, what in ((images, "[N, 3, S, S] of floats"), (texts, "[N, L] of integers")):
        if len(found) != 1:
            names = ", ".join(tower.file.name for tower in found) or "none"
            listed = ", ".join(file.name for file in files)
            raise InvalidInput(
                f"clip: got {shown(str(folder))}, which has {listed}; of networks that take {what} "
                f"and give [N, d] got {names}, expected one."
            )
    return images[0], texts[0]


def _list_files(folder: Path) -> list[Path]:
    """The ONNX files, without those that are the same network in another precision."""
    found = [file for place in _FOLDERS for file in sorted((folder / place).glob("*.onnx"))]
    stems = {file.stem for file in found}
    return [
        file
        for file in found
        if not any(file.stem.endswith(v) and file.stem.removesuffix(v) in stems for v in _VARIANTS)
    ]


def _tell_kinds(file: Path, session: Any) -> tuple[Tower | None, Tower | None]:
    """A network as image tower, as text tower, as both, or as neither."""
    inputs = session.get_inputs()
    pictures = [value for value in inputs if _takes_pictures(value)]
    tokens = [value for value in inputs if value.type in _INTEGERS and len(value.shape) == 2]
    if len(pictures) + len(tokens) != len(inputs) or len(pictures) > 1:
        return None, None
    if any("position" in value.name for value in tokens):
        return None, None
    masks = [value for value in tokens if "mask" in value.name]
    ids = [value for value in tokens if value not in masks]
    if len(ids) > 1 or len(masks) > 1 or (masks and not ids):
        return None, None
    mask = masks[0].name if masks else ""
    both = bool(pictures and ids)
    rows = {value.name: _make_row(value) for value in inputs} if both else {}
    image = text = None
    if pictures and (output := _find_output(session, "image" if both else "")):
        others = {name: row for name, row in rows.items() if name != pictures[0].name}
        of_pictures = pictures[0]
        image = Tower(
            *(file, session, of_pictures.name, "", output, tuple(of_pictures.shape)),
            *(np.float32, others),
        )
    if ids and (output := _find_output(session, "text" if both else "")):
        others = {name: row for name, row in rows.items() if name in {v.name for v in pictures}}
        text = Tower(
            *(file, session, ids[0].name, mask, output, tuple(ids[0].shape)),
            *(_INTEGERS[ids[0].type], others),
        )
    return image, text


def _takes_pictures(value: Any) -> bool:
    shape = value.shape
    if value.type != "tensor(float)" or len(shape) != 4:
        return False
    return shape[1] == 3 or not isinstance(shape[1], int)


def _find_output(session: Any, kind: str) -> str:
    """Name of the output that is a point of the common space; '' if there is none."""
    flat: list[str] = [
        v.name for v in session.get_outputs() if v.type == "tensor(float)" and _is_flat(v)
    ]
    named = [name for name in flat if "embed" in name and kind in name]
    if len(named) == 1:
        return named[0]
    return flat[0] if len(flat) == 1 and not kind else ""


def _is_flat(value: Any) -> bool:
    return len(value.shape) == 2


def _make_row(value: Any) -> np.ndarray:
    """The smallest rows of ones that a network takes, for the tower that is not asked."""
    free = [1, 3, 224, 224] if len(value.shape) == 4 else [1, 2]
    shape = [s if isinstance(s, int) else f for s, f in zip(value.shape, free, strict=True)]
    return np.ones(shape, _INTEGERS.get(value.type, np.float32))
