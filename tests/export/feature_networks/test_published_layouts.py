"""Inception and LPIPS-VGG16 of random weights: a golden of torch-fidelity's class, and torch."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from typer.testing import CliRunner

from stylert.apps.evaluation.feature_network import FeatureNetwork
from stylert.cli import app
from stylert.export.feature_networks import PublishedWeights
from stylert.export.feature_networks.caches import find_published
from stylert.export.feature_networks.inception import SIZE, emit_inception
from stylert.export.feature_networks.vgg16_lpips import count_features, emit_vgg16_lpips
from stylert.export.onnx_graph import GraphBuilder
from stylert.runtime.errors import CheckpointError, InvalidInput


class RecipeWeights:
    """Every tensor by its name, as the golden's .json tells."""

    def take(self, name: str, *shape: int) -> np.ndarray:
        random = np.random.default_rng(zlib.crc32(name.encode()))
        if name.endswith("conv.weight"):
            scale = np.float32((2 / np.prod(shape[1:])) ** 0.5)
            return (random.standard_normal(shape, dtype=np.float32) * scale).astype(np.float64)
        if name.endswith(("running_var", "bn.weight")):
            return (random.random(shape, dtype=np.float32) + np.float32(0.5)).astype(np.float64)
        values = random.standard_normal(shape, dtype=np.float32) * np.float32(0.1)
        return np.asarray(values.astype(np.float64))


def test_inception_is_torch_fidelitys(goldens: Path, tmp_path: Path) -> None:
    expected = np.load(goldens / "features" / "inception.npy")
    g = GraphBuilder("inception")
    x = g.input("pixels", ["N", 3, SIZE, SIZE])
    weights: Any = RecipeWeights()
    g.output(emit_inception(g, x, weights), "features", "float32", ["N", 2048])
    told = {"stylert.name": "x", "stylert.range": "0,255", "stylert.resize": "bilinear"}
    g.save(tmp_path / "inception.onnx", metadata=told)
    image = np.random.default_rng(0).integers(0, 256, (1, 80, 64, 3), np.uint8)
    found = FeatureNetwork.open(tmp_path / "inception.onnx").extract(image)
    assert expected.std() > 0.1
    assert np.abs(found - expected).max() < 1e-5 * expected.max()


class VggWeights:
    """Random weights of VGG16 and of LPIPS' heads, which are not negative."""

    def take(self, name: str, *shape: int) -> np.ndarray:
        random = np.random.default_rng(zlib.crc32(name.encode()))
        if name.startswith("lin"):
            return random.random(shape)
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 100
        return random.standard_normal(shape) * (2 / fan_in) ** 0.5


def measure_lpips(weights: VggWeights, x: torch.Tensor, y: torch.Tensor) -> np.ndarray:
    """As LPIPS defines it, of pixels of -1 to 1."""
    mean = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
    deviation = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
    x, y = (x - mean) / deviation, (y - mean) / deviation
    total, channels, number = torch.zeros(len(x)), 3, 0
    for level, (count, out) in enumerate([(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)]):
        if level:
            x, y, number = F.max_pool2d(x, 2), F.max_pool2d(y, 2), number + 1
        for _ in range(count):
            kernel = torch.from_numpy(
                weights.take(f"features.{number}.weight", out, channels, 3, 3)
            )
            bias = torch.from_numpy(weights.take(f"features.{number}.bias", out))
            x, y = (F.relu(F.conv2d(p, kernel.float(), bias.float(), padding=1)) for p in (x, y))
            channels, number = out, number + 2
        units = [p / (p.square().sum(1, keepdim=True).sqrt() + 1e-10) for p in (x, y)]
        head = torch.from_numpy(weights.take(f"lin{level}.model.1.weight", 1, out, 1, 1)).float()
        total += ((units[0] - units[1]).square() * head).sum(1).mean((1, 2))
    return total.numpy()


def test_distances_of_features_are_lpips(tmp_path: Path) -> None:
    size, weights = 32, VggWeights()
    g = GraphBuilder("lpips")
    x = g.input("pixels", ["N", 3, size, size])
    of: Any = weights
    dim = count_features(size)
    g.output(emit_vgg16_lpips(g, x, of, of, size=size), "features", "float32", ["N", dim])
    g.save(tmp_path / "lpips.onnx")
    pixels = np.random.default_rng(0).uniform(0, 255, (4, 3, size, size)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(tmp_path / "lpips.onnx"))
    features = session.run(None, {"pixels": pixels})[0].astype(np.float64)
    found = np.square(features[:2] - features[2:]).sum(1)
    scaled = torch.from_numpy(pixels / 127.5 - 1)
    expected = measure_lpips(weights, scaled[:2], scaled[2:])
    assert (expected > 0.01).all()
    assert np.allclose(found, expected, rtol=1e-4)


def test_heads_below_0_are_refused() -> None:
    class Negative(VggWeights):
        def take(self, name: str, *shape: int) -> np.ndarray:
            return -super().take(name, *shape)

    g = GraphBuilder("lpips")
    of: Any = Negative()
    x = g.input("pixels", ["N", 3, 16, 16])
    with pytest.raises(CheckpointError, match="has values below 0"):
        emit_vgg16_lpips(g, x, of, of, size=16)


def test_weights_are_found_where_tools_keep_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = PublishedWeights(("other.pth", "weights.pth"), "", "none")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(InvalidInput, match=r"other\.pth is in none of .*checkpoints"):
        find_published(published)
    file = tmp_path / "hub" / "checkpoints" / "weights.pth"
    file.parent.mkdir(parents=True)
    file.touch()
    assert find_published(published) == file


def test_the_command_makes_the_default_network(tmp_path: Path) -> None:
    out = tmp_path / "lite0.onnx"
    done = CliRunner().invoke(app, ["features", "efficientnet-lite0", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert f"Wrote {out}, of " in " ".join(done.output.split("\n"))
    assert FeatureNetwork.open(out, threads=1).describe()["sha256"].startswith("57934424")
