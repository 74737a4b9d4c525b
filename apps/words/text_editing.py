"""An edit that a text tells of: from words to the channels that they ask for."""

from __future__ import annotations

import math

import numpy as np

from stylert.apps.words.pair import Pair, unit
from stylert.runtime import Generator, InvalidInput
from stylert.runtime.arguments import shown

__all__ = ["TEMPLATES", "find_channels", "find_text_direction"]

# A text is read in many sentences: what they have in common is what it says.
TEMPLATES = (
    "{}",
    "{}.",
    "the picture shows {}",
    "a picture of {}",
    "a picture of {}.",
    "a photo of {}",
    "a photo of {}.",
    "a drawing of {}",
    "a drawing of {}.",
    "an image of {}",
    "a close-up of {}",
    "a good photo of {}",
    "a bright photo of {}",
    "a dark photo of {}",
    "a blurry photo of {}",
    "a painting of {}",
    "a small picture of {}",
    "a large picture of {}",
)
CHANCE = 3.0  # deviations of the agreement of unrelated directions


def find_text_direction(pair: Pair, text: str, neutral: str) -> np.ndarray:
    """The direction [d] of length 1 from a neutral text to another.

    Raises:
        InvalidInput: an empty text, or two that say the same.
    """
    pair.embed_texts([text, neutral])  # which tells once what is cut
    ends = []
    for words in (text, neutral):
        sentences = [template.replace("{}", words) for template in TEMPLATES]
        ends.append(unit(pair.embed_texts(sentences, warn=None).mean(0)))
    difference = ends[0] - ends[1]
    if not np.linalg.norm(difference) > 1e-6:
        raise InvalidInput(
            f"text: got {shown(text)}, which says what neutral {shown(neutral)} does."
        )
    return unit(difference)


def find_channels(
    generator: Generator,
    table: np.ndarray,
    direction: np.ndarray,
    *,
    beta: float | None = None,
) -> dict[str, float]:
    """The channels that a direction of texts asks for, as `make_style_offset` takes them.

    Args:
        generator: with a style space.
        table: of the pair, [S, d].
        direction: [d], see `find_text_direction`.
        beta: agreement, 0 to 1, below which channels stay as they are; None = 3 / sqrt(d), which
            few unrelated directions reach. Less changes more.

    Returns:
        How far each moves at strength 1, in standard deviations: by 1 the one that agrees best.

    Raises:
        InvalidInput: a beta that no channel reaches.
    """
    agreement = table @ direction  # [S]
    most = float(np.abs(agreement).max())
    least = min(CHANCE / math.sqrt(table.shape[1]), most) if beta is None else beta
    if not 0 <= least <= most or not most:
        raise InvalidInput(
            f"beta: got {least:g}, but the channels agree by {most:.3f} at most, expected less."
        )
    return {
        f"{layer.name}:{place - layer.start}": float(agreement[place] / most)
        for layer in generator.style_layers
        for place in range(layer.start, layer.start + layer.count)
        if abs(agreement[place]) >= max(least, 1e-9)
    }
