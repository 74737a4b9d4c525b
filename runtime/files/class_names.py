"""Names of classes that a file brings: none of them may be taken for a number or a list."""

from __future__ import annotations

from stylert.runtime.arguments import shown
from stylert.runtime.labels import Classes

__all__ = ["check_class_names"]

_LONGEST = 100  # letters of a name


def check_class_names(classes: Classes) -> None:
    """Refuse names that are too few, alike, or could be taken for numbers or lists.

    Raises:
        ValueError: one of these; it names the class.
    """
    names = classes.names
    if names and len(names) != classes.count:
        expected = f"{classes.count}, one for each" if classes.count else "none: it has no classes"
        raise ValueError(f"got {len(names)} names of classes, expected {expected}")
    for name in names:
        text = isinstance(name, str) and name.isprintable() and name == name.strip()
        if not text or not 0 < len(name) <= _LONGEST or set(name) & set(",:=") or name.isdigit():
            raise ValueError(
                f"got {shown(name)} as the name of a class, expected a printable text of up to "
                f"{_LONGEST} letters without ',', ':' and '=', and no number"
            )
    if len(set(names)) < len(names):
        raise ValueError("got a name of a class twice, expected names that differ")
