"""Faces in a photo, and five landmarks of each: MTCNN (Zhang et al. 2016) in ONNX Runtime.

Three small networks, each stricter than the one before: 'p' looks at every place in every size, 'r'
at what is left, 'o' refines that and finds eyes, nose and mouth. Their graphs are written by
`stylert.export.face_detector`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stylert.runtime.files.network_files import open_model
from stylert.runtime.files.pictures import resize_picture

__all__ = ["NETWORKS", "Face", "FaceDetector"]

NETWORKS = ("p", "r", "o")
_CELL, _STRIDE = 12, 2  # what 'p' sees at once, and its steps
_SMALLEST = 40  # pixels a side: smaller faces make no picture
_FACTOR = 0.707  # between two sizes: half the area
_THRESHOLDS = {"p": 0.6, "r": 0.7, "o": 0.8}
_OVERLAP = 0.7  # of two boxes that show the same face
_MOST_PLACES = 2000  # that 'r' looks at, the best: what is made of faces alone has no more
_MOST_PIXELS = 1024  # a side of what is searched: larger photos are shrunk


@dataclass(frozen=True, eq=False)
class Face:
    """A face in a photo.

    Attributes:
        score: 0 to 1.
        box: left, top, right, bottom in pixels.
        landmarks: [5, 2] pixels (x, y): eyes, nose, corners of the mouth, left ones first.
    """

    score: float
    box: tuple[float, float, float, float]
    landmarks: np.ndarray


class FaceDetector:
    """Finds faces.

    Args:
        folder: with mtcnn_p.onnx, mtcnn_r.onnx and mtcnn_o.onnx.
        threads: of the CPU, None = all.

    Raises:
        MissingExtra: ONNX Runtime is not installed.
    """

    def __init__(self, folder: Path, *, threads: int | None = None) -> None:
        files = {name: str(folder / f"mtcnn_{name}.onnx") for name in NETWORKS}
        self._networks = {name: open_model(file, threads=threads) for name, file in files.items()}

    def find(self, image: np.ndarray) -> list[Face]:
        """The faces of a photo [H, W, 3] uint8, the largest first."""
        shrunk = max(1.0, max(image.shape[:2]) / _MOST_PIXELS)
        if shrunk > 1:
            height, width = (max(1, round(n / shrunk)) for n in image.shape[:2])
            image = resize_picture(image, height, width)
        boxes = self._propose(image)
        for name, side in (("r", 24), ("o", 48)):
            if not len(boxes):
                return []
            boxes, points = self._refine(image, boxes, name, side)
        faces = [
            Face(float(box[4]), tuple((box[:4] * shrunk).tolist()), p * shrunk)
            for box, p in zip(boxes, points, strict=True)
        ]
        return sorted(faces, key=lambda f: -(f.box[2] - f.box[0]) * (f.box[3] - f.box[1]))

    def _propose(self, image: np.ndarray) -> np.ndarray:
        """Places that might be a face: [K, 5], the last number is the score."""
        found = [np.zeros((0, 5))]
        for scale in _list_scales(image.shape):
            height, width = (int(np.ceil(n * scale)) for n in image.shape[:2])
            scores, offsets = self._run("p", resize_picture(image, height, width)[None])
            rows, columns = np.nonzero(scores[0, 1] > _THRESHOLDS["p"])
            corners = np.stack([columns, rows], axis=1) * _STRIDE
            boxes = np.concatenate([corners, corners + _CELL], axis=1) / scale
            boxes = _shift(boxes, offsets[0][:, rows, columns].T)
            found.append(np.column_stack([boxes, scores[0, 1][rows, columns]]))
        places = np.concatenate(found)
        best = np.argsort(-places[:, 4], kind="stable")[:_MOST_PLACES]
        return _square(_suppress(places[best], _OVERLAP))

    def _refine(
        self, image: np.ndarray, boxes: np.ndarray, name: str, side: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The places that the next network takes for faces, and their landmarks from 'o'."""
        parts = np.stack([_cut(image, box, side) for box in boxes])
        scores, offsets, *points = self._run(name, parts)
        kept = scores[:, 1] > _THRESHOLDS[name]
        boxes, offsets = boxes[kept], offsets[kept]
        landmarks = np.zeros((len(boxes), 5, 2))
        if points:
            relative = points[0][kept].reshape(-1, 2, 5).transpose(0, 2, 1)  # [K, 5, 2]
            sizes = boxes[:, None, 2:4] - boxes[:, None, :2]
            landmarks = boxes[:, None, :2] + relative * sizes
        shifted = np.column_stack([_shift(boxes[:, :4], offsets), scores[kept, 1]])
        order = _find_kept(shifted, _OVERLAP, smaller=bool(points))
        return (shifted if points else _square(shifted))[order], landmarks[order]

    def _run(self, name: str, images: np.ndarray) -> Any:
        """A network on images [N, h, w, 3] uint8."""
        pixels = (images.astype(np.float32) - 127.5) / 128
        feeds = {"pixels": np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))}
        return self._networks[name].run(None, feeds)


def _list_scales(shape: tuple[int, ...]) -> Iterator[float]:
    scale = _CELL / _SMALLEST
    while min(shape[:2]) * scale >= _CELL:
        yield scale
        scale *= _FACTOR


def _shift(boxes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Boxes [K, 4] moved by offsets, which are parts of their sizes."""
    sizes = boxes[:, 2:4] - boxes[:, :2]
    moved: np.ndarray = boxes + offsets * np.tile(sizes, 2)
    return moved


def _square(boxes: np.ndarray) -> np.ndarray:
    """The squares around the middles of boxes, as large as their longer sides."""
    middle = (boxes[:, :2] + boxes[:, 2:4]) / 2
    half = (boxes[:, 2:4] - boxes[:, :2]).max(axis=1, keepdims=True, initial=0) / 2
    return np.concatenate([middle - half, middle + half, boxes[:, 4:]], axis=1)


def _cut(image: np.ndarray, box: np.ndarray, side: int) -> np.ndarray:
    """A box of an image, black beyond its edge, at [side, side]."""
    left, top, right, bottom = (round(float(n)) for n in box[:4])
    whole = np.zeros((max(1, bottom - top), max(1, right - left), 3), np.uint8)
    rows = slice(max(0, top), min(image.shape[0], bottom))
    columns = slice(max(0, left), min(image.shape[1], right))
    seen = image[rows, columns]
    if seen.size:
        y, x = rows.start - top, columns.start - left
        whole[y : y + seen.shape[0], x : x + seen.shape[1]] = seen
    return resize_picture(whole, side, side)


def _suppress(boxes: np.ndarray, overlap: float) -> np.ndarray:
    return boxes[_find_kept(boxes, overlap)]


def _find_kept(boxes: np.ndarray, overlap: float, *, smaller: bool = False) -> list[int]:
    """Which boxes [K, 5] are kept: of those that overlap, the one with the best score.

    Args:
        boxes: with their scores.
        overlap: from which share on, of both together.
        smaller: of the smaller one instead.
    """
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    left, kept = list(np.argsort(-boxes[:, 4])), []
    while left:
        best, *others = left
        kept.append(int(best))
        rest = np.array(others, np.intp)
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        high = np.minimum(boxes[best, 2:4], boxes[rest, 2:4])
        shared = np.prod(np.maximum(0, high - low), axis=1)
        both = (
            np.minimum(areas[best], areas[rest]) if smaller else areas[best] + areas[rest] - shared
        )
        left = list(rest[shared <= overlap * both])
    return kept
