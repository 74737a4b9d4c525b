"""Keys of dicts and elements of sets in a pickle: only flat values, which hash in a short time.

The hash of a tuple is that of all it holds: nested tuples can take Python hours, or more stack than
there is. Files of others have such keys in statistics and the like. Nothing that we read does, so
what stands under them is left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stylert.export.checkpoints.safe_pickle.foreign import ForeignObject
from stylert.export.checkpoints.safe_pickle.pickle_names import Buildable, Global

__all__ = ["make_dict", "pair_up", "pick_flat"]

_FLAT = (str, int, float, bool, type(None), Global, ForeignObject)
_NEVER_KEYS = (list, dict, set)


def make_dict(pairs: Iterable[Any]) -> dict[Any, Any]:
    """Pairs of key and value, as a dict.

    Raises:
        ValueError, TypeError: these are no pairs, or a list, dict or set is a key.
    """
    return {key: value for key, value in pairs if type(key) is str or _is_flat(key)}


def pair_up(items: list[Any]) -> dict[Any, Any]:
    """Keys and values in turn, as a dict.

    Raises:
        ValueError: the last key has no value.
        TypeError: a list, dict or set is a key.
    """
    return make_dict(zip(items[::2], items[1::2], strict=True))


def pick_flat(items: Iterable[Any]) -> set[Any]:
    """The elements of a set.

    Raises:
        TypeError: a list, dict or set is one.
    """
    return {item for item in items if _is_flat(item)}


def _is_flat(key: Any) -> bool:
    if type(key) in _NEVER_KEYS:
        raise TypeError("key of a type that has no hash")
    return type(key) in _FLAT or isinstance(key, Buildable)
