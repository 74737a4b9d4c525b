"""Styles and directions of files: those that the runtime opens, and pickles, read safely."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stylert.commands import console
from stylert.runtime.control.latent_files import fit_direction, fit_ws, is_pickled
from stylert.runtime.generator import Generator

__all__ = ["read_direction", "read_ws"]


def read_ws(generator: Generator, path: Path) -> np.ndarray:
    """The ws [N, num_ws, w_dim] float32 of a file, which nothing of is run.

    Raises:
        InvalidInput: no such file, another kind of file, or an array that does not fit.
        CheckpointError: a pickle that is damaged or unsafe, or has no latents.
    """
    if not is_pickled(path):
        return generator.load_ws(path)
    return fit_ws(path, _read_pickle(path), generator.spec)


def read_direction(generator: Generator, path: Path) -> np.ndarray:
    """The direction [w_dim] or [num_ws, w_dim] float32 of a file; see `read_ws`."""
    if not is_pickled(path):
        return generator.load_direction(path)
    return fit_direction(path, _read_pickle(path), generator.spec)


def _read_pickle(path: Path) -> np.ndarray:
    from stylert.export.latent_file import read_latents  # without torch

    latents = read_latents(path)
    console.note(f"{path} is a pickle: its arrays were read, and nothing in it was run.")
    return latents
