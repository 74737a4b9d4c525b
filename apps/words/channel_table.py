"""What every channel of a generator changes in the eyes of a pair: StyleCLIP's global directions.

The table is made once for a generator and a pair (Patashnik et al. 2021): in some pictures each
channel is set to its mean plus and minus five deviations, and the pair tells the difference.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np

from stylert.apps.words.pair import Pair, unit
from stylert.runtime import Generator
from stylert.runtime.arguments import check_integer
from stylert.runtime.control.relevance import RelevanceTable, list_relevance, write_relevance
from stylert.runtime.files.publishing import publish_bytes

__all__ = [
    "PICTURES",
    "count_drawings",
    "find_table",
    "make_table",
    "name_table",
    "read_kept_table",
]

PICTURES = 20  # in which every channel is tried
FAR = 5.0  # deviations to each side of the mean
SEED = 7_000_000  # of the first picture
LARGEST = 128  # pixels of a layer: what finer ones change, a pair hardly sees
SAVED = 512  # drawings between two saves

Progress = Callable[[str, int, int], None]


def name_table(pair: Pair) -> str:
    """The name in a bundle of the table of a pair."""
    return f"clip-{pair.fingerprint[:12]}"


def find_table(generator: Generator, pair: Pair) -> np.ndarray | None:
    """The table [S, d] of a pair that a bundle has; None if it has none.

    Raises:
        BundleError: its file is damaged.
    """
    return read_kept_table(generator, pair, name_table(pair))


def read_kept_table(generator: Generator, pair: Pair, name: str) -> np.ndarray | None:
    """The table [S, d] that a bundle keeps under a name, if it is of this pair; else None.

    Raises:
        BundleError: its file is damaged.
    """
    if list_relevance(generator.bundle).get(name) != pair.fingerprint:
        return None
    return generator.read_relevance(name).table


def count_drawings(generator: Generator, pictures: int = PICTURES) -> int:
    """How many pictures a table takes."""
    return 2 * pictures * len(_list_channels(generator))


def make_table(
    generator: Generator,
    pair: Pair,
    *,
    pictures: int = PICTURES,
    progress: Progress = lambda what, done, total: None,
) -> np.ndarray:
    """Make the table of a pair, and keep it in the bundle. What is interrupted goes on.

    Args:
        generator: with a style space.
        pair: that sees its pictures.
        pictures: in which every channel is tried.
        progress: called with what is done, the drawings that are, and those that will be.

    Returns:
        [S, d] float32: of each channel the direction in which it moves pictures, of length 1;
        zeros for channels that only colour, and those of layers above 128 pixels.

    Raises:
        InvalidInput: no style space, or a count out of range.
        EngineError: a backend failed.
        OSError: the disk is full, or the bundle cannot be written.
    """
    check_integer("pictures", pictures, 1, 10_000)
    work = _Work(generator, pair, pictures)
    total = len(work.channels)
    while work.done < total:
        stop = min(total, work.done + max(1, SAVED // (2 * pictures)))
        for place in range(work.done, stop):
            work.measure(place)
            progress("trying channels", 2 * pictures * (place + 1), 2 * pictures * total)
        work.save(stop)
    table = RelevanceTable(name_table(pair), pair.fingerprint, work.table)
    write_relevance(generator.bundle.folder, table, force=True)
    work.state.unlink(missing_ok=True)
    return work.table


class _Work:
    """A table that is being made, and where it stands."""

    def __init__(self, generator: Generator, pair: Pair, pictures: int) -> None:
        self._generator, self._pair = generator, pair
        self.channels = _list_channels(generator)
        self.state = generator.bundle.folder / f"relevance-{name_table(pair)}.part.npz"
        seeds = range(SEED, SEED + pictures)
        classes: dict[str, Any] = {}
        if generator.spec.c_dim:
            classes["class_idx"] = [i % generator.classes.count for i in range(pictures)]
        self._ws = generator.styles(seeds, **classes)
        self._styles = generator.style_space(self._ws)  # [P, S]
        self.table = np.zeros((self._styles.shape[1], pair.dim), np.float32)
        self.done = 0
        self._load(pictures)

    def measure(self, place: int) -> None:
        """Try one channel in all pictures."""
        channel, generator = self.channels[place], self._generator
        offset = np.zeros((2, *self._styles.shape), np.float32)  # [2, P, S]
        for side, sign in enumerate((1, -1)):
            value = generator.style_mean[channel] + sign * FAR * generator.style_std[channel]
            offset[side, :, channel] = value - self._styles[:, channel]
        ws = np.concatenate([self._ws, self._ws])
        moved = offset.reshape(len(ws), -1)
        img = np.asarray(generator.synthesize(ws, style_offset=moved, output="img"))
        more, less = np.split(self._pair.embed_images(img), 2)
        self.table[channel] = unit(unit(more - less).mean(0))

    def save(self, done: int) -> None:
        """Keep what is done so far."""
        self.done = done
        data = io.BytesIO()
        np.savez(data, table=self.table, done=done, pictures=len(self._ws))
        publish_bytes(self.state, data.getvalue())

    def _load(self, pictures: int) -> None:
        """Go on with what an interrupted run has left, if it was the same work."""
        try:
            with np.load(self.state, allow_pickle=False) as kept:
                table, done = kept["table"], int(kept["done"])
                same = int(kept["pictures"]) == pictures and table.shape == self.table.shape
        except Exception:  # zipfile, zlib and NumPy each have their own: it begins anew
            return
        if same and 0 <= done <= len(self.channels):
            self.table[:], self.done = table, done


def _list_channels(generator: Generator) -> list[int]:
    """The channels that are tried: of layers that make shapes and textures."""
    found: list[int] = []
    for layer in generator.style_layers:
        if not layer.is_rgb and _find_size(layer.name) <= LARGEST:
            found += range(layer.start, layer.start + layer.count)
    return found


def _find_size(name: str) -> int:
    """Pixels of a layer such as 'b32.conv1'; 0 where its name does not tell."""
    digits = name.partition(".")[0].removeprefix("b")
    return int(digits) if digits.isdecimal() and len(digits) < 6 else 0
