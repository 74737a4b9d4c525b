"""`Storage`: the options that say how the images of many seeds are stored.

--out grid.png --grid 4x4        one picture of all images
--out one.png                    one picture of one image
--out one.npy                    the same as an array, also of more than 4 channels
--out set.zip                    a zip file
--out shards --shard-size 1000   WebDataset shards
--out images                     a folder
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from stylert.apps.video.stream import CONTAINERS
from stylert.commands.options import in_panel
from stylert.runtime.errors import InvalidInput
from stylert.runtime.images import NPY, image_format

__all__ = ["Storage", "is_picture"]

in_storage = in_panel("Storage")


def is_picture(path: Path) -> bool:
    """Whether a path names a picture, and is no folder."""
    try:
        image_format(path)
    except InvalidInput:
        return False
    return not path.is_dir()


@dataclass(frozen=True, kw_only=True)
class Storage:
    """How images are stored, in the words of `DatasetJob`."""

    container: Annotated[
        str | None, in_storage("Container: folder, zip, or webdataset; by default as --out looks.")
    ] = None
    shard_size: Annotated[
        int | None, in_storage("Images in a WebDataset shard; 1000 by default.", min=1)
    ] = None
    image_format: Annotated[
        str | None,
        in_storage("Format of the images: png (default), jpeg, webp, tiff or npy.", "--format"),
    ] = None
    dtype: Annotated[
        str | None, in_storage("Numbers: uint8 (default), or float32 in [-1, 1] for npy.")
    ] = None
    compression: Annotated[
        int | None, in_storage("PNG compression, 0 to 9; by default 1: fast.", min=0, max=9)
    ] = None
    layout: Annotated[
        str | None,
        in_storage("Labels for others: huggingface (metadata.jsonl) or stylegan (dataset.json)."),
    ] = None
    quality: Annotated[
        int | None, in_storage("JPEG and WebP quality, 1 to 100; 95 by default.", min=1, max=100)
    ] = None

    def to_picture_options(self, path: Path) -> dict[str, Any]:
        """Keywords of `DatasetJob` for one picture, which may have a dtype, and a quality.

        Raises:
            InvalidInput: what one picture does not have.
        """
        for name, value in vars(self).items():
            if value is not None and name not in ("dtype", "quality"):
                raise InvalidInput(f"{name}: got one for {path}, which is one picture")
        is_array = image_format(path) == NPY
        if self.dtype is not None and not is_array:
            raise InvalidInput(f"dtype: got one for {path}, expected a .npy file")
        return {"image_format": "npy", "dtype": self.dtype or "uint8"} if is_array else {}

    def to_options(self, path: Path) -> dict[str, Any]:
        """Keywords of `DatasetJob`: as asked for, or as the path looks.

        Raises:
            InvalidInput: what does not go together, or a file where a folder is to be.
        """
        if path.suffix.lower() == ".tar":
            raise InvalidInput(f"{path}: shards need a folder, and shard_size=1000 or another")
        if path.suffix.lower() in CONTAINERS and not path.is_dir():
            raise InvalidInput(f"{path} is a video, expected pictures. Films: stylert video")
        fitting = "zip" if path.suffix.lower() == ".zip" and not path.is_dir() else "folder"
        if self.shard_size and self.container is None and fitting == "zip":
            raise InvalidInput(f"shard_size: got one for {path}, a zip file, expected a folder")
        container = self.container or ("webdataset" if self.shard_size else fitting)
        if self.shard_size and container != "webdataset":
            raise InvalidInput(f"shard_size: got one for a {container}, expected webdataset")
        if container != "zip" and path.exists() and not path.is_dir():
            raise InvalidInput(f"{path} is a file, expected the name of a folder.")
        given = {name: value for name, value in vars(self).items() if value is not None}
        return given | {"container": container}
