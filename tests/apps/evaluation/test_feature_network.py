"""Pictures become features: the resizes by their definitions, the contract, the default network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from PIL import Image

from stylert.apps.evaluation.default_network import find_default_weights, open_network
from stylert.apps.evaluation.feature_network import FeatureNetwork
from stylert.apps.evaluation.resizing import resize_bicubic, resize_bilinear
from stylert.export.feature_networks.layers import pool_mean
from stylert.export.onnx_graph import GraphBuilder
from stylert.runtime.errors import InvalidInput

TOLD = {"stylert.name": "means", "stylert.range": "0,255", "stylert.resize": "bilinear"}


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write_network(path: Path, metadata: dict[str, str] = TOLD, *, rows: Any = "N") -> Path:
    """A feature network whose features are the means of the channels."""
    g = GraphBuilder("means")
    x = g.input("pixels", [rows, 3, 12, 12])
    g.output(pool_mean(g, x, name="features"), "features", "float32", [rows, 3])
    g.save(path, metadata=metadata)
    return path


@pytest.mark.parametrize("size", [5, 12, 31])
def test_bilinear_is_that_of_tensorflow_1(size: int) -> None:
    """Old places are new ones times the ratio of the sizes; beyond the last one it stays."""
    image = draw(0, 1, 12, 9, 3)
    expected = np.empty((3, size, size))
    for c, i, j in np.ndindex(3, size, size):
        y, x = i * 12 / size, j * 9 / size
        y0, x0 = int(y), int(x)
        y1, x1 = min(y0 + 1, 11), min(x0 + 1, 8)
        corners = image[0, [y0, y0, y1, y1], [x0, x1, x0, x1], c].astype(np.float64)
        weights = np.outer([1 - y + y0, y - y0], [1 - x + x0, x - x0]).reshape(4)
        expected[c, i, j] = corners @ weights
    assert np.allclose(resize_bilinear(image, size)[0], expected, atol=1e-3)


def test_bicubic_is_pillows_in_float() -> None:
    image = draw(0, 2, 30, 20, 3)
    resized = resize_bicubic(image, 11)
    plane = Image.fromarray(image[1, :, :, 2].astype(np.float32))
    expected = np.asarray(plane.resize((11, 11), Image.Resampling.BICUBIC)).clip(0, 255)
    assert np.array_equal(resized[1, 2], expected)
    assert not np.array_equal(resized, resized.round())


def test_the_contract_of_a_network(tmp_path: Path) -> None:
    """Sizes, range and channels: a grey picture is three equal channels."""
    path = write_network(tmp_path / "means.onnx", {**TOLD, "stylert.range": "-1,1"})
    network = FeatureNetwork.open(path, threads=1)
    assert (network.name, network.size, network.dim) == ("means", 12, 3)
    images = draw(0, 19, 12, 12, 3)
    means = images.astype(np.float64).mean((1, 2)) / 127.5 - 1
    assert np.allclose(network.extract(images), means, atol=1e-6)
    grey = network.extract(images[..., :1])
    assert np.allclose(grey, np.repeat(means[:, :1], 3, axis=1), atol=1e-6)


def test_features_do_not_depend_on_the_others_beside_them() -> None:
    network = open_network(threads=2)
    images = draw(0, 4, 40, 40, 3)
    together = network.extract(images)
    assert np.array_equal(together[3:], network.extract(images[3:]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stylert.name": ""}, "without metadata stylert.name"),
        ({"stylert.range": "black"}, "with the range 'black'"),
        ({"stylert.range": "1,-1"}, "with the range '1,-1'"),
        ({"stylert.range": "0,inf"}, "with the range '0,inf'"),
        ({"stylert.resize": "nearest"}, "the resize 'nearest'"),
    ],
)
def test_metadata_are_checked(change: dict[str, str], message: str, tmp_path: Path) -> None:
    path = write_network(tmp_path / "network.onnx", {**TOLD, **change})
    with pytest.raises(InvalidInput, match=message):
        FeatureNetwork.open(path, threads=1)


def test_other_graphs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"expected float \[N, 3, S, S\] and \[N, d\]"):
        FeatureNetwork.open(write_network(tmp_path / "fixed.onnx", rows=1), threads=1)
    no_vector = tmp_path / "image.onnx"
    g = GraphBuilder("image")
    x = g.input("x", ["N", 3, 8, 8])
    g.output(g.op("Relu", x, name="y"), "y", "float32", ["N", 3, 8, 8])
    g.save(no_vector, metadata=TOLD)
    with pytest.raises(InvalidInput, match=r"expected float \[N, 3, S, S\] and \[N, d\]"):
        FeatureNetwork.open(no_vector, threads=1)
    text = tmp_path / "text.onnx"
    text.write_text("no graph")
    with pytest.raises(InvalidInput, match="ONNX Runtime cannot read"):
        FeatureNetwork.open(text, threads=1)
    with pytest.raises(InvalidInput, match="expected an ONNX file"):
        FeatureNetwork.open(tmp_path / "none.onnx")


def test_the_default_network_is_named_with_its_licence() -> None:
    told = open_network(threads=1).describe()
    assert (told["name"], told["dim"], told["size"]) == ("EfficientNet-lite0", 1280, 224)
    assert told["licence"] == "Apache-2.0"
    assert told["sha256"].startswith("57934424")
    assert find_default_weights().stat().st_size > 10_000_000


def test_metadata_are_written_with_a_graph(tmp_path: Path) -> None:
    model = onnx.load(str(write_network(tmp_path / "means.onnx")))
    assert {p.key: p.value for p in model.metadata_props} == TOLD
    assert ir.load(tmp_path / "means.onnx").metadata_props == TOLD
