"""Seeds, classes and files of ws as users write them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from stylert.apps.datasets import Seeds
from stylert.commands.text.seeds import (
    parse_class,
    parse_classes,
    parse_seed_list,
    parse_seeds,
    parse_source,
)

Refuses = Callable[..., AbstractContextManager[None]]


def test_seeds_come_once_and_in_their_order() -> None:
    assert parse_seeds("7,0-2, 1") == Seeds([range(7, 8), range(3)])
    assert len(parse_seeds("0-4294967295")) == 2**32


@pytest.mark.parametrize("text", ["", "x", "1,", "3-1", "-1", "4294967296", "1.5", "0-1-2"])
def test_seeds_that_are_none(refuses: Refuses, text: str) -> None:
    for parse in (parse_seeds, parse_seed_list):
        with refuses("got "):
            parse(text)
    if text == "x":
        assert parse_classes(text) == "x"  # a name
        return
    with refuses("got ", "expected a class such as 3, or several: 0-9"):
        parse_classes(text)


def test_classes_are_numbers_or_names() -> None:
    assert parse_classes("0-2, sea lion,7") == (0, 1, 2, "sea lion", 7)
    assert parse_classes("cat") == "cat"
    assert parse_classes("3") == 3


def test_one_class_alone(refuses: Refuses) -> None:
    assert (parse_class("3"), parse_class("cat")) == (3, "cat")
    with refuses("got '1,2', expected one class, such as 3"):
        parse_class("1,2")


def test_a_seed_list_keeps_its_order_and_repetitions() -> None:
    assert parse_seed_list("0-2,7, 0") == [0, 1, 2, 7, 0]


def test_a_seed_list_is_bounded(refuses: Refuses) -> None:
    assert len(parse_seed_list("0-99998,5")) == 100_000
    with refuses("got '0-99999,5', expected up to 100000 seeds"):
        parse_seed_list("0-99999,5")
    with refuses("got '0-4294967295'"):
        parse_seed_list("0-4294967295")


def test_one_class_is_a_number_and_several_take_turns() -> None:
    assert parse_classes("3") == 3
    assert parse_classes("0-2,7,0") == (0, 1, 2, 7, 0)


def test_classes_are_bounded(refuses: Refuses) -> None:
    with refuses("got '0-1000000'"):
        parse_classes("0-1000000")


@pytest.mark.parametrize("name", ["ws.npy", "a/ws.npz", "a.pt", "a.PKL", "here", "a.PNG", "a.jpg"])
def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("here").write_text("")
    assert parse_source(name) == Path(name)


def test_what_reads_as_seeds_is_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("12").write_text("")
    assert parse_source("12") == [12]
    long = ",".join(map(str, range(200)))  # longer than the name of a file may be
    assert parse_source(long) == list(range(200))


@pytest.mark.parametrize("text", ["", "there", "x" * 5000, "\0", "3-1"])
def test_neither_seeds_nor_a_file(refuses: Refuses, text: str) -> None:
    with refuses("got ", "expected a "):
        parse_source(text)
