"""Styles and directions of files: of arrays, of pickles, read safely, and of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stylert.commands import console
from stylert.commands.text.names import names_picture
from stylert.runtime.bundle import GeneratorSpec, hash_file
from stylert.runtime.control.encoder_facts import EncoderFacts
from stylert.runtime.files.latent_files import (
    fit_direction,
    fit_ws,
    is_pickled,
    load_direction,
    load_ws,
)
from stylert.runtime.files.pictures import read_picture, read_planes
from stylert.runtime.generator import Generator

if TYPE_CHECKING:
    from stylert.apps.datasets import StyleFile

__all__ = [
    "find_ws",
    "read_direction",
    "read_keyframes",
    "read_photo",
    "read_style_file",
    "read_ws",
]


def read_ws(path: Path, spec: GeneratorSpec) -> np.ndarray:
    """The ws [N, num_ws, w_dim] float32 of a file; nothing in it is run.

    Raises:
        InvalidInput: no such file, another kind of file, or an array that does not fit.
        CheckpointError: a pickle that is damaged or unsafe, or has no latents.
    """
    return fit_ws(path, _read_pickle(path), spec) if is_pickled(path) else load_ws(path, spec)


def read_keyframes(paths: Sequence[Path], spec: GeneratorSpec) -> np.ndarray:
    """The ws of several files, one after the other; see `read_ws`."""
    return np.concatenate([read_ws(path, spec) for path in paths])


def find_ws(path: Path, generator: Generator) -> np.ndarray:
    """The ws of a file, or those that the bundle's encoder finds for a picture.

    Raises:
        InvalidInput: see `read_ws`, `read_photo` and `Generator.invert`.
    """
    if not names_picture(path):
        return read_ws(path, generator.spec)
    return generator.invert(read_photo(path, generator.encoder))


def read_photo(path: Path, facts: EncoderFacts) -> np.ndarray:
    """A picture as an encoder takes it, of any size.

    Raises:
        InvalidInput: it cannot be read.
    """
    if facts.picture == "labels":
        return read_planes(path)
    return read_picture(path, channels=1 if facts.picture == "sketch" else 3)


def read_style_file(path: Path, spec: GeneratorSpec) -> StyleFile:
    """The same, with the file's name and SHA-256, for a data set; see `read_ws`."""
    from stylert.apps.datasets import StyleFile

    ws = read_ws(path, spec)
    return StyleFile(path.name, hash_file(path), ws)


def read_direction(path: Path, spec: GeneratorSpec) -> np.ndarray:
    """The direction [w_dim] or [num_ws, w_dim] float32 of a file; see `read_ws`."""
    if not is_pickled(path):
        return load_direction(path, spec)
    return fit_direction(path, _read_pickle(path), spec)


def _read_pickle(path: Path) -> np.ndarray:
    from stylert.export.latent_file import read_latents  # without torch

    latents = read_latents(path)
    console.note(f"{path} is a pickle: its arrays were read, and nothing in it was run.")
    return latents
