"""Styles as texts that clients keep, so that the service need not: 'w:' and their numbers."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import numpy as np

from stylert.runtime import Generator, GeneratorSpec
from stylert.runtime.drawing_options import StyleOptions
from stylert.runtime.errors import InvalidInput

__all__ = ["START", "find_styles", "has_handles", "read_handle", "write_handle"]

START = "w:"


def write_handle(w: np.ndarray) -> str:
    """The text of styles [num_ws, w_dim] float32: their bytes, the lowest first, in base64."""
    return START + base64.b64encode(w.astype("<f4").tobytes()).decode()


def read_handle(handle: str, spec: GeneratorSpec) -> np.ndarray:
    """The styles [num_ws, w_dim] float32 of a text.

    Raises:
        InvalidInput: it is none, or of another generator.
    """
    size = 4 * spec.num_ws * spec.w_dim
    try:
        data = base64.b64decode(handle.removeprefix(START), validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if len(data) != size:
        raise InvalidInput(
            f"w: got {len(data)} bytes of base64 behind {START!r}, expected {size}: "
            f"{spec.num_ws} x {spec.w_dim} float32, as /invert of this generator gives them."
        )
    w: np.ndarray = np.frombuffer(data, "<f4").astype(np.float32)
    if not np.isfinite(w).all():
        raise InvalidInput("w: got NaN or infinity, expected numbers.")
    return w.reshape(spec.num_ws, spec.w_dim)


def has_handles(sources: int | str | Sequence[int | str]) -> bool:
    """Whether some of them are handles, and not seeds."""
    listed = [sources] if isinstance(sources, (int, str)) else sources
    return any(isinstance(source, str) for source in listed)


def find_styles(
    sources: int | str | Sequence[int | str], generator: Generator, options: StyleOptions
) -> np.ndarray:
    """The styles of seeds and of handles, which are taken as they are: nothing truncates them.

    Args:
        sources: one or several.
        generator: what maps the seeds.
        options: of the seeds; what is one for each image is so for all sources.

    Returns:
        ws [N, num_ws, w_dim] float32.

    Raises:
        InvalidInput: a value that does not fit.
        EngineError: the backend failed.
    """
    listed = [sources] if isinstance(sources, (int, str)) else list(sources)
    given = {
        i: read_handle(source, generator.spec)
        for i, source in enumerate(listed)
        if isinstance(source, str)
    }
    if len(given) == len(listed):
        return np.stack([given[i] for i in range(len(listed))])
    seeds = [0 if isinstance(source, str) else source for source in listed]
    ws = np.array(generator.styles(seeds, **options))
    for i, w in given.items():
        ws[i] = w
    return ws
