"""Directions in w: 'pca:0' for a principal component, a .npy or .npz file, or a name."""

from __future__ import annotations

from pathlib import Path

from stylert.runtime.arguments import shown
from stylert.runtime.errors import InvalidInput

__all__ = ["parse_direction"]

_COMPONENT = "pca:"
_DIGITS = 5


def parse_direction(name: str, text: str, *, components: int) -> int | Path | str:
    """Read what the direction of an edit is.

    Args:
        name: what the message calls it.
        text: 'pca:0' for the first principal component, the name of a .npy or .npz file, or a name
            in `Generator.directions`, which is not checked here.
        components: how many there are: `w_dim` of the generator.

    Returns:
        The index of the component, the file, or the name.

    Raises:
        InvalidInput: a component that there is not.
    """
    if not text.startswith(_COMPONENT):
        path = Path(text)
        return path if path.suffix in (".npy", ".npz") else text
    index = text.removeprefix(_COMPONENT)
    if not (index.isdecimal() and len(index) <= _DIGITS and int(index) < components):
        raise InvalidInput(
            f"{name}: got {shown(text)}, expected {_COMPONENT}0 to {_COMPONENT}{components - 1}"
        )
    return int(index)
