"""JSON: that of a stranger is small, and not deep, before anything is made of it."""

from __future__ import annotations

import json
import math
import stat
from pathlib import Path
from typing import Any

__all__ = ["keep_finite", "read_json"]

MAX_DEPTH = 16  # of lists and objects in each other


def keep_finite(number: float | None) -> float | None:
    """A number as JSON has it: infinity and NaN are None."""
    return None if number is None or not math.isfinite(number) else number


def read_json(path: Path, *, most: int) -> Any:
    """The value in a file of at most `most` bytes.

    Raises:
        ValueError: it is larger, deeper than 16, or no JSON.
        OSError: it cannot be read.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for, and a device has no end
        raise ValueError("it is no regular file")
    if found.st_size > most:
        raise ValueError(f"it has {found.st_size} bytes, expected at most {most}")
    too_deep = f"its lists and objects lie more than {MAX_DEPTH} deep in each other"
    try:
        value = json.loads(path.read_bytes())
    except RecursionError:
        raise ValueError(too_deep) from None
    level = [value]
    for _ in range(MAX_DEPTH):
        inner = [v.values() if type(v) is dict else v for v in level if type(v) in (dict, list)]
        level = [item for items in inner for item in items]
    if level:
        raise ValueError(too_deep)
    return value
