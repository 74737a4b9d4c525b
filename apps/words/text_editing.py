"""An edit that a text tells of: from words to the channels that they ask for."""

from __future__ import annotations

import math

import numpy as np

from stylert.apps.words.pair import Pair, unit
from stylert.runtime import Generator, InvalidInput
from stylert.runtime.arguments import shown, shown_number
from stylert.runtime.control.truncation import as_number

__all__ = ["TEMPLATES", "find_channels", "find_edits", "find_text_direction"]

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
STEPS = 3  # of an edit that starts at a picture
# How far a step goes: what the pair finds best of these, in deviations of the first channel.
STRENGTHS = (0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 4, 5, 6)


def find_text_direction(pair: Pair, text: str, neutral: str) -> np.ndarray:
    """The direction [d] of length 1 from a neutral text to another.

    Raises:
        InvalidInput: an empty text, or two that say the same.
    """
    pair.embed_texts([text, neutral])  # which tells once what is cut
    difference = _read_text(pair, text) - _read_text(pair, neutral)
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
    if not 0 <= as_number(least) <= most or not most:
        raise InvalidInput(
            f"beta: got {shown_number(least)}, but the channels agree by {most:.3f} at most, "
            "expected less."
        )
    return {
        f"{layer.name}:{place - layer.start}": float(agreement[place] / most)
        for layer in generator.style_layers
        for place in range(layer.start, layer.start + layer.count)
        if abs(agreement[place]) >= max(least, 1e-9)
    }


def find_edits(
    generator: Generator, pair: Pair, table: np.ndarray, ws: np.ndarray, text: str
) -> list[dict[str, float]]:
    """The channels that bring pictures to a text, as `make_style_offset` takes them.

    The direction runs from a picture's own point to the text's, so that no text has to tell what
    the picture shows. After each of three steps it is found anew, from where the picture is then.

    Args:
        generator: with a style space.
        pair: that sees the pictures, and reads the text.
        table: of the pair, [S, d]; see `sample_table`.
        ws: the pictures' styles [N, num_ws, w_dim].
        text: what they shall show.

    Returns:
        Of each picture, how far each channel moves at strength 1, in standard deviations; none if
        nothing comes nearer.

    Raises:
        InvalidInput: an empty text.
        EngineError: a backend failed.
    """
    pair.embed_texts([text])  # which tells once what is cut
    target = _read_text(pair, text)  # [d]
    return [_find_edit(generator, pair, table, w, target) for w in ws]


def _find_edit(
    generator: Generator, pair: Pair, table: np.ndarray, w: np.ndarray, target: np.ndarray
) -> dict[str, float]:
    """The channels that bring one picture, of styles [num_ws, w_dim], to a point [d]."""
    ws = np.repeat(w[None], len(STRENGTHS), axis=0)
    point = pair.embed_images(np.asarray(generator.synthesize(w[None], output="img")))[0]
    total: dict[str, float] = {}
    for _ in range(STEPS):
        step = find_channels(generator, table, unit(target - point), beta=0)
        start = generator.make_style_offset(total)  # [1, S]
        offset = start + generator.make_style_offset(step, STRENGTHS)  # [K, S]
        img = np.asarray(generator.synthesize(ws, style_offset=offset, output="img"))
        points = pair.embed_images(img)  # [K, d]
        best = int((points @ target).argmax())
        if points[best] @ target <= point @ target:
            break
        point = points[best]
        for name, far in step.items():
            total[name] = total.get(name, 0.0) + STRENGTHS[best] * far
    return total


def _read_text(pair: Pair, text: str) -> np.ndarray:
    """The point [d] of what a text has in common in many sentences."""
    sentences = [template.replace("{}", text) for template in TEMPLATES]
    return unit(pair.embed_texts(sentences, warn=None).mean(0))
