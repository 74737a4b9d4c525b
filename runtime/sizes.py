"""Sizes of files as people read them: '561.7 kB'."""

from __future__ import annotations

__all__ = ["size_text"]


def size_text(size: float) -> str:
    """A number of bytes in the unit that fits, a kB being 1000 bytes."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.2f} GB"
