"""Captions: true sentences of some attributes of a picture, and words that say nothing of any."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stylert.examples.train_words.attributes import NOTHING, VALUES

__all__ = ["find_truth", "write_caption", "write_foreign", "write_captions"]

ATTRIBUTES = list(VALUES)
# How often a caption speaks of each attribute.
SHARES = np.array([0.85, 0.7, 0.15, 0.25, 0.15, 0.15, 0.08, 0.08, 0.08])
OPENINGS = ("", "", "", "a picture of ", "a photo of ", "a drawing of ", "the picture shows ")
NO_CLASS = ("thing", "shape", "something")
WORDS = {
    "lime": ("lime", "lime green"),
    "turquoise": ("turquoise", "teal"),
    "purple": ("purple", "violet"),
    "pink": ("pink", "magenta"),
    "spotted": ("spotted", "dotted"),
    "cat": ("cat", "cat", "kitten"),
}
# Words of a world that the drawing program does not know.
FOREIGN = tuple(
    """
aeroplane anchor apple arm bag ball banana bank basket beach bear bed bell bench bicycle bird boat
bone book boot bottle bowl box boy bread bridge brush bucket bus button cake camel camera candle
car carpet castle chain chair cheese chess child church city clock cloud coat coffee coin computer
corn cow crab crown cup curtain desk diamond doctor dog dolphin door dragon dress drum duck eagle
egg elephant engine eye face factory farm feather fence fire flag forest fork fox frog garden gate
ghost giraffe glass glove goat grape grass guitar gun hammer hand hat heart hill horse hospital
ice island jacket key king kitchen kite knife ladder lake lamp leg lemon letter lion lobster man
map mask milk mirror money monkey moon motorcycle mountain mouse mouth music nail neck needle nest
newspaper night nose ocean office onion orchestra owl page painting palace paper park pear pen
penguin people piano pig pillow pirate pizza planet plate pocket potato prince queen rabbit radio
rain ring river road robot rocket roof rope rose sail salt sand school scissors sea shark sheep
ship shirt shoe shop skull sky snake snow soldier soup spider spoon stadium star station stone
street sugar suit sun sword table tank taxi tea teacher telephone tent tiger toast tooth tower
town toy tractor tree trousers truck umbrella valley violin volcano wall watch water wave whale
wheel wind wine wing wolf woman worm zebra old new tall short wooden metal broken happy sad angry
fast slow heavy rich poor famous ancient modern running sleeping flying singing burning
""".split()  # noqa: SIM905 - a list would take a page
)


def write_captions(
    attributes: NDArray[np.int64], random: np.random.Generator, *, foreign: float
) -> tuple[list[str], NDArray[np.int64]]:
    """A caption for each picture, of some of its attributes.

    Args:
        attributes: of the pictures [N, A].
        random: chooses what is told, and how.
        foreign: share of the captions that say nothing of any picture instead.

    Returns:
        The captions [N], and what they tell [N, A]: NOTHING where they are silent. Of a caption
        that is true of no picture, all are -2.
    """
    told = np.where(random.random(attributes.shape) < SHARES, attributes, NOTHING)
    silent = (told == NOTHING).all(1)
    told[silent, 0] = attributes[silent, 0]
    captions = [write_caption(row, random) for row in told]
    for i in np.flatnonzero(random.random(len(told)) < foreign):
        told[i], captions[i] = -2, write_foreign(random)
    return captions, told


def find_truth(told: NDArray[np.int64], attributes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which captions [N, A] are true of which pictures [M, A]: [M, N]."""
    same = told[None] == attributes[:, None]
    truth: NDArray[np.bool_] = (same | (told == NOTHING)[None]).all(2)
    return truth


def write_caption(told: NDArray[np.int64], random: np.random.Generator) -> str:
    """One caption that tells the given attributes [A]."""
    said = {
        name: _say(VALUES[name][value], random)
        for name, value in zip(ATTRIBUTES, told, strict=True)
        if value != NOTHING
    }
    words = [said[name] for name in ("pattern", "colour") if name in said]
    if "second colour" in said and "colour" in said and random.random() < 0.5:
        words += ["and", said.pop("second colour")]
    words.append(said.get("class", _pick(NO_CLASS, random)))
    text = f"{_pick(OPENINGS, random)}{_article(words[0], random)}{' '.join(words)}"
    if "second colour" in said:
        text += f" with {said['second colour']} parts"
    return text + _write_place(said, random) + _pick(("", "", "."), random)


def write_foreign(random: np.random.Generator) -> str:
    """A text of words, or of letters, that no caption has."""
    if random.random() < 0.2:
        letters = random.integers(ord("a"), ord("z") + 1, random.integers(2, 12))
        return "".join(map(chr, letters))
    words = " ".join(random.choice(FOREIGN, random.integers(1, 4)))
    return f"{_pick(OPENINGS, random)}{_pick(('a ', 'the ', ''), random)}{words}"


def _write_place(said: dict[str, str], random: np.random.Generator) -> str:
    text = ""
    if "light" in said or "background" in said:
        words = [said[name] for name in ("light", "background") if name in said]
        text += f" on a {' '.join(words)} background"
    if "side" in said:
        text += f" on the {said['side']}"
    if "height" in said:
        text += f" at the {said['height']}"
    if "lean" in said:
        text += f" leaning {said['lean']}"
    return text


def _say(value: str, random: np.random.Generator) -> str:
    return _pick(WORDS.get(value, (value,)), random)


def _article(word: str, random: np.random.Generator) -> str:
    if random.random() < 0.15:
        return ""
    return "an " if word[0] in "aeiou" else "a "


def _pick(options: tuple[str, ...], random: np.random.Generator) -> str:
    return options[int(random.integers(len(options)))]
