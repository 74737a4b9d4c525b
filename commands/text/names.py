"""Names: 'ant,bee,cat', or a text file with one on a line; and names of files of arrays."""

from __future__ import annotations

from pathlib import Path

from stylert.runtime.arguments import shown
from stylert.runtime.errors import InvalidInput

__all__ = ["names_array_file", "names_picture", "parse_names"]

_ARRAYS = (".npy", ".npz", ".pt", ".pth", ".pkl", ".pickle")
# Whose styles an encoder finds.
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif")


def names_array_file(text: str) -> bool:
    """Whether a text names a file of styles or of a direction, or a picture in its place."""
    return text.lower().endswith(_ARRAYS + _PICTURES)


def names_picture(path: Path) -> bool:
    """Whether a file has the name of a picture."""
    return path.suffix.lower() in _PICTURES


def parse_names(text: str) -> tuple[str, ...]:
    """Read names with commas between them, or the lines of a text file, empty ones left out."""
    path = Path(text)
    if "," not in text and path.is_file():
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except ValueError:
            raise InvalidInput(f"{text} is no text file in UTF-8") from None
        return tuple(line.strip() for line in lines if line.strip())
    names = tuple(name.strip() for name in text.split(","))
    if "" in names or len(names) == 1:
        raise InvalidInput(f"got {shown(text)}, expected names such as ant,bee,cat, or a text file")
    return names
