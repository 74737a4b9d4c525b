"""The training of the demo's pair for pictures and words, and what it is told of its pictures."""

from __future__ import annotations

import colorsys
from pathlib import Path

import numpy as np

from stylert.apps.demo import SOURCE
from stylert.apps.words import Pair
from stylert.examples.train_demo.dataset import CLASSES, draw_pictures
from stylert.examples.train_words.attributes import (
    COLOURS,
    NOTHING,
    VALUES,
    find_attributes,
    find_hues,
    name_hues,
)
from stylert.examples.train_words.captions import find_truth, write_caption, write_captions
from stylert.examples.train_words.pictures import collect_pictures
from stylert.examples.train_words.publishing import publish_pair
from stylert.examples.train_words.training import Settings, train_pair
from stylert.tests.apps.words import demo_reader


def test_hues_are_those_of_hsv_and_the_readers_names() -> None:
    rgb = np.random.default_rng(0).random((200, 3))
    expected = [colorsys.rgb_to_hsv(*colour)[0] for colour in rgb]
    assert np.allclose(find_hues(2 * rgb - 1), expected)
    assert name_hues(np.array([0.99, 0.02, 0.5, 0.63])).tolist() == [0, 0, 6, 7]
    assert demo_reader.COLOURS == COLOURS


def test_captions_tell_the_truth_of_their_pictures() -> None:
    data = draw_pictures(64, seed=5, size=8)
    attributes = find_attributes(data.labels, data.traits)
    captions, told = write_captions(attributes, np.random.default_rng(1), foreign=0.25)
    truth = find_truth(told, attributes)
    foreign = (told == -2).all(1)
    assert 5 < foreign.sum() < 30
    assert truth.diagonal()[~foreign].all()
    assert not truth[:, foreign].any()
    for caption, row in zip(captions, told, strict=True):
        if row[0] >= 0:
            assert CLASSES[row[0]] in caption.replace("kitten", "cat")
    everything = [0, 7, 0, 1, 4, 1, 0, NOTHING, 1]
    assert len(everything) == len(VALUES)
    for seed in range(4):
        text = write_caption(np.array(everything), np.random.default_rng(seed))
        words = ("striped", "blue", "red", "flower", "light green background", "on the left")
        assert all(word in text for word in words), text


def test_training(tmp_path: Path) -> None:
    """Some steps, which bring captions and pictures nearer; any reader opens what is written."""
    data = collect_pictures(SOURCE, drawings=40, samples=8, seed=3)
    assert data.images.shape == (48, 3, 64, 64)
    losses: list[float] = []
    settings = Settings(steps=16, batch=16, rate=4e-3)
    pair, tokenizer = train_pair(data, settings, progress=lambda d, t, loss: losses.append(loss))
    assert np.mean(losses[-4:]) < np.mean(losses[:4]) - 0.1
    publish_pair(pair, tokenizer, tmp_path / "pair", about={"known_similarity": 0.5})
    opened = Pair.open(tmp_path / "pair", threads=1)
    assert (opened.dim, opened.size, opened.known) == (64, 32, 0.5)
    texts = opened.embed_texts(["a blue flower", "a red house"])
    assert np.allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-5)
    assert texts[0] @ texts[1] < 0.999
