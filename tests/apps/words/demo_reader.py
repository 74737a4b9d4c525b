"""The fixed reader: what it sees in pictures of the demo. No search and no tower has met it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from stylert.apps.demo import SOURCE
from stylert.runtime.bundle import Bundle

__all__ = ["COLOURS", "READER", "read_pictures"]

READER = Path(__file__).with_name("demo_reader.onnx")
# As in examples/train_words: names of hues, in turns.
COLOURS = {
    "red": 0.0,
    "orange": 0.08,
    "yellow": 0.15,
    "lime": 0.23,
    "green": 0.34,
    "turquoise": 0.45,
    "cyan": 0.53,
    "blue": 0.64,
    "purple": 0.76,
    "pink": 0.88,
}


def read_pictures(images: np.ndarray) -> list[tuple[str, str]]:
    """The class and the nearest colour of each picture [N, 64, 64, 3] uint8."""
    session = onnxruntime.InferenceSession(str(READER), providers=["CPUExecutionProvider"])
    img = images.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(127.5) - 1
    classes, hue = session.run(["classes", "hue"], {"image": img})
    turns = np.arctan2(hue[:, 1], hue[:, 0]) / (2 * np.pi)
    away = np.abs(np.mod(turns, 1)[:, None] - np.array([*COLOURS.values()]))
    nearest = np.minimum(away, 1 - away).argmin(1)
    names, colours = Bundle.open(SOURCE).classes.names, [*COLOURS]
    found = zip(classes.argmax(1), nearest, strict=True)
    return [(names[label], colours[colour]) for label, colour in found]
