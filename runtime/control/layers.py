"""Layers by name: which of a generator's ws are coarse, middle and fine (StyleGAN, section 3.1).

Coarse ws drive layers of up to 8 pixels (pose, shape), middle ones those of 16 and 32 (features),
fine ones all above (colours, texture):

    StyleGAN 1    coarse 0-3, middle 4-7, fine from 8     two layers a resolution
    StyleGAN2     coarse 0-2, middle 3-6, fine from 7     one layer at 4 pixels, then two
    StyleGAN3     coarse 0-2, middle 3-6, fine from 7     by agreement
    lucidrains    coarse 0-1, middle 2-3, fine from 4     one w a resolution

A w of StyleGAN2 that drives a ToRGB layer as well goes with its convolution, as in the encoders
(pSp, e4e). The layers of StyleGAN3 have no such resolutions: its ws are named as StyleGAN2's, whose
limits are about the same (at 512 pixels, the layers of w 2 and w 6 hold up to 3 and 15 cycles a
picture; 8 and 32 pixels hold 4 and 16). Its w 0 turns and moves the picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stylert.runtime.arguments import shown
from stylert.runtime.errors import InvalidInput
from stylert.runtime.latents import check_seeds, list_values

__all__ = ["Groups", "Layers", "group_layers", "find_layers"]

Layers = str | int | Iterable[str | int]  # 'fine', '0-6,8', 'coarse,8', 3, [0, 1, 2]
Groups = Mapping[str, tuple[int, ...]]  # 'all', 'coarse', 'middle' and 'fine'

_LAST_COARSE, _LAST_MIDDLE = 1, 3  # doublings of 4 pixels: 8 and 32


def group_layers(family: str, num_ws: int) -> dict[str, tuple[int, ...]]:
    """The ws of a generator by name: 'all', 'coarse', 'middle', 'fine'; small ones have no fine.

    Args:
        family: 'stylegan1', 'stylegan2', 'stylegan3' or 'lucidrains'.
        num_ws: how many ws the generator takes.
    """
    groups: dict[str, tuple[int, ...]] = {"all": tuple(range(num_ws))}
    names = [_name(_doublings(family, num_ws, i)) for i in range(num_ws)]
    for name in ("coarse", "middle", "fine"):
        groups[name] = tuple(i for i in range(num_ws) if names[i] == name)
    return groups


def find_layers(layers: Layers, groups: Groups) -> tuple[int, ...]:
    """The indices that a user means, each once and in their order.

    Args:
        layers: a name, an index, a range such as '0-6', several with commas between, or a sequence.
        groups: of the generator, see `group_layers`.

    Raises:
        InvalidInput: an unknown name, a name that this generator has no layers for, an index out of
            range, or nothing at all.
    """
    found: set[int] = set()
    for item in list_values(layers):
        if isinstance(item, str):
            for part in item.split(","):
                found.update(_part(part.strip(), groups))
        else:
            found.update(check_seeds([item], name="layers", largest=len(groups["all"]) - 1))
    if not found:
        raise InvalidInput(f"layers: got none, expected {_expected(groups)}.")
    return tuple(sorted(found))


def _doublings(family: str, num_ws: int, index: int) -> int:
    """The resolution that a w drives, as doublings of 4 pixels."""
    if family == "stylegan1":
        return index // 2
    if family == "lucidrains":
        return index
    doublings = (index + 1) // 2
    # The last w of StyleGAN2 drives the last ToRGB layer alone.
    return min(doublings, num_ws // 2 - 1) if family == "stylegan2" else doublings


def _name(doublings: int) -> str:
    if doublings <= _LAST_COARSE:
        return "coarse"
    return "middle" if doublings <= _LAST_MIDDLE else "fine"


def _part(text: str, groups: Groups) -> Iterable[int]:
    """The layers of a name, an index or a range."""
    if text in groups:
        if not groups[text]:
            raise InvalidInput(
                f"layers: got {text!r}, which this generator is too small for, expected "
                f"{_expected(groups)}."
            )
        return groups[text]
    first, dash, last = (end.strip() for end in text.partition("-"))
    ends = [first, last] if dash else [first, first]
    if not all(end.isascii() and end.isdecimal() and len(end) < 10 for end in ends):
        raise InvalidInput(f"layers: got {shown(text)}, expected {_expected(groups)}.")
    start, stop = map(int, ends)
    if not start <= stop < len(groups["all"]):
        raise InvalidInput(f"layers: got {shown(text)}, expected {_expected(groups)}.")
    return range(start, stop + 1)


def _expected(groups: Groups) -> str:
    """What can be asked for: 'all' (0-7), 'coarse' (0-2), ..., or indices."""
    names = [f"{name!r} ({rows[0]}-{rows[-1]})" for name, rows in groups.items() if rows]
    return f"{', '.join(names)}, a list such as '0-2,4', or integers"
