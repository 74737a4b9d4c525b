"""Layers by name: the groups of every family, and what a user may write."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stylert.runtime.control.layers import find_layers, group_layers

GROUPS = group_layers("stylegan2", 18)


def span(first: int, last: int) -> tuple[int, ...]:
    return tuple(range(first, last + 1))


@pytest.mark.parametrize(
    ("family", "num_ws", "coarse", "middle", "fine"),
    [
        ("stylegan1", 18, span(0, 3), span(4, 7), span(8, 17)),  # as the StyleGAN paper has them
        ("stylegan1", 8, span(0, 3), span(4, 7), ()),
        ("stylegan2", 18, span(0, 2), span(3, 6), span(7, 17)),  # as pSp and e4e have them
        ("stylegan2", 10, span(0, 2), span(3, 6), span(7, 9)),
        ("stylegan2", 8, span(0, 2), span(3, 7), ()),  # the last is the ToRGB of 32 pixels
        ("stylegan2", 4, span(0, 3), (), ()),
        ("stylegan2", 2, span(0, 1), (), ()),
        ("stylegan3", 16, span(0, 2), span(3, 6), span(7, 15)),
        ("stylegan3", 8, span(0, 2), span(3, 6), (7,)),
    ],
)
def test_groups(family: str, num_ws: int, coarse: Any, middle: Any, fine: Any) -> None:
    groups = group_layers(family, num_ws)
    assert groups == {
        "all": span(0, num_ws - 1),
        "coarse": coarse,
        "middle": middle,
        "fine": fine,
    }
    assert coarse + middle + fine == groups["all"]


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ("all", span(0, 17)),
        ("coarse", span(0, 2)),
        ("fine", span(7, 17)),
        ("middle,coarse", span(0, 6)),
        ("0-6,8", (*span(0, 6), 8)),
        (" 8 , 0 - 2,1", (0, 1, 2, 8)),
        ("17", (17,)),
        ("3-3", (3,)),
        ("coarse,17", (0, 1, 2, 17)),
        (5, (5,)),
        (np.int64(5), (5,)),
        ([4, 2, 4], (2, 4)),
        ((2,), (2,)),
        (range(3), (0, 1, 2)),
        ({1, 0}, (0, 1)),
        (np.array([3, 1]), (1, 3)),
        (np.array(3), (3,)),
        (["coarse", 9, "11-12"], (0, 1, 2, 9, 11, 12)),
    ],
)
def test_what_a_user_may_write(layers: Any, expected: tuple[int, ...]) -> None:
    assert find_layers(layers, GROUPS) == expected


@pytest.mark.parametrize(
    "layers",
    [
        *("", "rough", "Coarse", "0:6", "0-", "-1", "-", "6-0", "18", "0-18", "1.5", "0x1", ","),
        *("9" * 30, "0-" + "9" * 5000, "²", "x" * 10_000, "a\nb"),
        *(-1, 18, [10**5000], 1.5, True, None, b"fine", [], [1.5], [None], [[1]], np.zeros(0, int)),
        *(np.ones((2, 2), int), [b"fine"], ["rough"], object()),
    ],
)
def test_what_is_refused(refuses: Any, layers: Any) -> None:
    with refuses("layers: got ", "expected "):
        find_layers(layers, GROUPS)


def test_a_group_that_a_small_generator_has_not(refuses: Any) -> None:
    groups = group_layers("stylegan2", 8)
    with refuses("layers: got 'fine', which this generator is too small for", "'middle' (3-7)"):
        find_layers("coarse,fine", groups)


def test_a_message_names_what_there_is(refuses: Any) -> None:
    with refuses("got 'rough', expected 'all' (0-17), 'coarse' (0-2), 'middle' (3-6), 'fine' (7-"):
        find_layers("rough", GROUPS)
