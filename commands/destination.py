"""Where the images of many seeds go, as a path and options say: one picture, or a data set.

    --out grid.png --grid 4x4        one picture of all images
    --out one.png                    one picture of one image
    --out set.zip                    a zip file
    --out shards --shard-size 1000   WebDataset shards
    --out images                     a folder

The messages call the options as the command line does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stylert.commands.text.grids import parse_grid
from stylert.runtime.errors import InvalidInput
from stylert.runtime.images import image_format

__all__ = ["cells_of_picture", "is_picture", "refuse_storage", "storage_of"]


def is_picture(path: Path) -> bool:
    """Whether a path names a picture, and is no folder."""
    try:
        image_format(path)
    except InvalidInput:
        return False
    return not path.is_dir()


def cells_of_picture(path: Path, *, images: int, grid: str | None) -> tuple[int | None, int | None]:
    """Columns and rows of the one picture that all images go into; None = as many as it takes.

    Args:
        path: the file, for the message.
        images: how many there are.
        grid: '4x2' or 'auto'; None = there is one image.

    Raises:
        InvalidInput: more images than the grid has room for, or several without a grid.
    """
    if grid is not None:
        return parse_grid("--grid", grid, images)
    if images > 1:
        raise InvalidInput(
            f"{path} is one file for {images} images; pass a folder, or --grid for one picture"
        )
    return 1, 1


def refuse_storage(path: Path, **storage: Any) -> None:
    """Refuse what `storage_of` takes besides the quality, and one picture does not have.

    Args:
        path: the file, for the message.
        storage: the options; None = not given.

    Raises:
        InvalidInput: one was given.
    """
    for name, value in storage.items():
        if value is not None:
            option = {"image_format": "format"}.get(name, name).replace("_", "-")
            raise InvalidInput(
                f"--{option}: got one for {path}, which is one picture; expected a folder"
            )


def storage_of(
    path: Path,
    *,
    container: str | None = None,
    shard_size: int | None = None,
    **encoding: Any,
) -> dict[str, Any]:
    """How images are stored, in the words of `DatasetJob`: as asked for, or as the path looks.

    Args:
        path: the folder or file.
        container: 'folder', 'zip' or 'webdataset', None = as the path looks.
        shard_size: images of a WebDataset shard.
        encoding: `image_format`, `quality` and `compression`; what is None is left out.

    Raises:
        InvalidInput: what does not go together, or a file where a folder is to be.
    """
    if path.suffix == ".tar":
        raise InvalidInput(
            f"{path}: shards are written into a folder; pass --out FOLDER --shard-size N"
        )
    if container is None:
        fitting = "zip" if path.suffix == ".zip" and not path.is_dir() else "folder"
        container = fitting if shard_size is None else "webdataset"
    if shard_size is not None and container != "webdataset":
        raise InvalidInput(f"--shard-size: got one for a {container}, expected webdataset")
    if container != "zip" and path.exists() and not path.is_dir():
        raise InvalidInput(
            f"{path} is a file; --out names a folder, or pass --grid for one picture"
        )
    storage = {"container": container, "shard_size": shard_size, **encoding}
    return {name: value for name, value in storage.items() if value is not None}
