"""The fixed reader: what it sees in pictures of the demo. No search and no tower has met it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from stylert.apps.demo import SOURCE
from stylert.examples.train_words.attributes import COLOURS, name_hues
from stylert.runtime.bundle import Bundle

__all__ = ["COLOURS", "READER", "read_pictures"]

READER = Path(__file__).with_name("demo_reader.onnx")


def read_pictures(images: np.ndarray) -> list[tuple[str, str]]:
    """The class and the nearest colour of each picture [N, 64, 64, 3] uint8."""
    session = onnxruntime.InferenceSession(str(READER), providers=["CPUExecutionProvider"])
    img = images.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(127.5) - 1
    classes, hue = session.run(["classes", "hue"], {"image": img})
    turns = np.arctan2(hue[:, 1], hue[:, 0]) / (2 * np.pi)
    nearest = name_hues(np.mod(turns, 1))
    names, colours = Bundle.open(SOURCE).classes.names, [*COLOURS]
    found = zip(classes.argmax(1), nearest, strict=True)
    return [(names[label], colours[colour]) for label, colour in found]
