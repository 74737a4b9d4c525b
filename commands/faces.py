"""Faces in photos: the options that cut them out as FFHQ does, of `invert` and `project`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np

from stylert.commands import console
from stylert.commands.options import in_panel
from stylert.runtime.bundle import GeneratorSpec
from stylert.runtime.errors import InvalidInput

if TYPE_CHECKING:
    from stylert.apps.photos.faces import FaceDetector

__all__ = ["Crop", "Faces"]

in_faces = in_panel("Faces")

Crop = Callable[[np.ndarray, Path, GeneratorSpec], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Faces:
    """Which faces are cut out of photos."""

    align: Annotated[
        bool, in_faces("Find the largest face of each photo, and crop it as FFHQ.", "--align")
    ] = False
    landmarks: Annotated[
        Path | None,
        in_faces("Crop as FFHQ by a JSON file: eyes, nose, corners of the mouth by photo."),
    ] = None

    def choose_crop(self, files: Sequence[Path], *, threads: int | None) -> Crop:
        """What is cut out of a photo: all of it, or a face.

        Args:
            files: the photos.
            threads: of what finds faces, None = all.

        Raises:
            InvalidInput: both ways at once, or landmarks that are damaged or missing.
            MissingExtra: what finds faces is not installed.
        """
        if self.landmarks is None and not self.align:
            return lambda image, file, spec: image
        from stylert.apps.photos.alignment import read_landmarks
        from stylert.apps.photos.cropping import cut_face, open_detector

        faces: Mapping[str, np.ndarray | FaceDetector]
        if self.landmarks is not None:
            if self.align:
                raise InvalidInput("landmarks: got a file with align=True, expected one of them")
            faces = read_landmarks(self.landmarks)
            for file in files:
                if file.name not in faces:
                    raise InvalidInput(
                        f"landmarks: got {self.landmarks}, which has none of {file.name}."
                    )
        else:
            detector = open_detector(threads)
            faces = {file.name: detector for file in files}
        return lambda image, file, spec: cut_face(
            image, faces[file.name], spec, name=str(file), say=console.note
        )
