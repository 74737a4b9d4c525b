"""What moves along with what a pair sees: a table of channels from samples, without trying any."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from stylert.apps.words.channel_table import name_table, read_kept_table
from stylert.apps.words.pair import Pair
from stylert.runtime import Generator
from stylert.runtime.arguments import check_integer
from stylert.runtime.control.relevance import RelevanceTable, write_relevance

__all__ = ["SAMPLES", "find_sampled_table", "sample_table"]

SAMPLES = 2000
OF_CLASS = 20  # samples of a class, that its mean is worth something
SEED = 8_000_000  # of the first sample

Progress = Callable[[str, int, int], None]


def find_sampled_table(generator: Generator, pair: Pair) -> np.ndarray | None:
    """The table [S, d] of samples that a bundle has for a pair; None if it has none.

    Raises:
        BundleError: its file is damaged.
    """
    return read_kept_table(generator, pair, _name(pair))


def sample_table(
    generator: Generator,
    pair: Pair,
    *,
    samples: int = SAMPLES,
    progress: Progress = lambda what, done, total: None,
) -> np.ndarray:
    """Make the table of samples, and keep it in the bundle.

    A row is the covariance of a channel, in standard deviations, with the points of the pictures,
    within the classes: which way pictures differ where this channel is higher. Unlike
    `make_table` it has the channels that colour, too, and takes as many pictures for any network.

    Args:
        generator: with a style space.
        pair: that sees its pictures.
        samples: pictures that are drawn.
        progress: called with what is done, the pictures that are, and those that will be.

    Returns:
        [S, d] float32.

    Raises:
        InvalidInput: no style space, or a count out of range.
        EngineError: a backend failed.
        OSError: the disk is full, or the bundle cannot be written.
    """
    check_integer("samples", samples, 2, 1_000_000)
    count = max(1, min(generator.classes.count if generator.spec.c_dim else 1, samples // OF_CLASS))
    kept, seen = [], []
    for start in range(0, samples, generator.max_batch):
        places = range(start, min(samples, start + generator.max_batch))
        classes: dict[str, Any] = {}
        if generator.spec.c_dim:
            classes["class_idx"] = [place % count for place in places]
        ws = generator.styles([SEED + place for place in places], **classes)
        kept.append(generator.style_space(ws))
        seen.append(pair.embed_images(np.asarray(generator.synthesize(ws, output="img"))))
        progress("drawing samples", places.stop, samples)
    styles, points = np.concatenate(kept), np.concatenate(seen)  # [N, S], [N, d]
    styles /= np.maximum(generator.style_std, 1e-9)
    for label in range(count):
        for array in (styles, points):
            array[label::count] -= array[label::count].mean(0)
    table: np.ndarray = (styles.T @ points / samples).astype(np.float32)
    kept_table = RelevanceTable(_name(pair), pair.fingerprint, table)
    write_relevance(generator.bundle.folder, kept_table, force=True)
    return table


def _name(pair: Pair) -> str:
    return f"{name_table(pair)}-samples"
