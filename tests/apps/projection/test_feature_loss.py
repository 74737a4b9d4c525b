"""Losses by features: resizing as matrices, projection with them, and files that are refused."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from stylert.apps.evaluation.resizing import RESIZES
from stylert.apps.projection import FeatureLoss, ProjectionSettings, project
from stylert.apps.projection.projector import open_projector
from stylert.apps.projection.resampling import make_resampling
from stylert.apps.projection.task import to_img
from stylert.export.adjoint.feature_loss import write_feature_loss
from stylert.runtime.generator import Generator

Refuses = Callable[..., AbstractContextManager[None]]
SIZE = 12


def write_network(path: Path, *kinds: str, resize: str = "bilinear", opset: int = 17) -> Path:
    """A convolution of 8 channels with stride 2, operators behind it, and rows."""
    random = np.random.RandomState(0)
    weight = numpy_helper.from_array(random.randn(8, 3, 3, 3).astype(np.float32), "weight")
    nodes = [helper.make_node("Conv", ["x", "weight"], ["y0"], strides=[2, 2], pads=[1] * 4)]
    for i, kind in enumerate(kinds):
        nodes.append(helper.make_node(kind, [f"y{i}"], [f"y{i + 1}"]))
    nodes.append(helper.make_node("Flatten", [f"y{len(kinds)}"], ["rows"]))
    taken, given = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", ["N", 3, SIZE, SIZE]), ("rows", ["N", 8 * (SIZE // 2) ** 2]))
    )
    graph = helper.make_graph(nodes, "network", [taken], [given], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    told = {"stylert.name": "edges", "stylert.range": "0,1", "stylert.resize": resize}
    helper.set_model_props(model, told)
    onnx.save(model, str(path))
    return path


@pytest.fixture(scope="module")
def loss(tmp_path_factory: pytest.TempPathFactory) -> FeatureLoss:
    folder = tmp_path_factory.mktemp("features")
    network = write_network(folder / "network.onnx", "LeakyRelu")
    return FeatureLoss.open(write_feature_loss(network, folder / "loss.onnx"), threads=1)


@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("before", "after"), [(16, 24), (20, 12), (17, 17), (9, 10)])
def test_matrices_resize_as_the_evaluation_does(kind: str, before: int, after: int) -> None:
    images = np.random.RandomState(0).uniform(100, 150, (1, before, before, 3)).astype(np.float32)
    matrix = make_resampling(kind, before, after)
    found = np.matmul(np.matmul(matrix, images.transpose(0, 3, 1, 2)), matrix.T)
    np.testing.assert_allclose(found, RESIZES[kind](images, after), atol=2e-4)


def test_large_pictures_are_averaged_before_they_are_bilinear() -> None:
    matrix = make_resampling("bilinear", 40, 10)
    np.testing.assert_array_equal(matrix, np.repeat(np.eye(10) / 4, 4, axis=1))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_its_gradient_is_that_of_finite_differences(loss: FeatureLoss, channels: int) -> None:
    random = np.random.RandomState(1)
    img, other, way = random.uniform(-1, 1, (3, 2, channels, 20, 16)).astype(np.float32)
    target = loss.describe(other)
    assert (loss.measure(other, target)[0] == 0).all()
    distance, gradient = loss.measure(img, target)
    assert gradient.shape == img.shape
    ahead, behind = (loss.measure(img + step * way, target)[0] for step in (1e-3, -1e-3))
    slope = (gradient * way).sum((1, 2, 3))
    np.testing.assert_allclose(slope, (ahead - behind) / 2e-3, rtol=2e-2)
    assert (distance > 1).all()


def test_projection_follows_it(small: Generator, drawn: np.ndarray, loss: FeatureLoss) -> None:
    target = to_img(drawn, small)
    ends = {}
    for features in (None, loss):
        *_, last = project(small, drawn, seeds_start=5, steps=25, scales=(1e-6,), features=features)
        img = np.asarray(small.synthesize(last.best_ws, output="img"))
        ends[features], _ = loss.measure(img, loss.describe(target))
        assert (last.distance is None) == (features is None)
    assert (ends[loss] < ends[None]).all()


def test_what_is_hidden_is_not_seen(small: Generator, drawn: np.ndarray, loss: FeatureLoss) -> None:
    mask = np.ones((1, 1, 16, 16), np.float32)
    mask[..., 4:12, 6:14] = 0
    other = drawn.copy()
    other[:, 4:12, 6:14] = 255 - other[:, 4:12, 6:14]
    ends = []
    for images in (drawn, other):
        *_, last = project(small, images, mask=mask, seeds_start=5, steps=4, features=loss)
        ends.append(last)
    np.testing.assert_array_equal(ends[0].best_ws, ends[1].best_ws)
    np.testing.assert_array_equal(ends[0].distance, ends[1].distance)


def test_another_network_cannot_go_on(
    small: Generator, drawn: np.ndarray, loss: FeatureLoss, refuses: Refuses
) -> None:
    settings = ProjectionSettings(steps=6)
    state = open_projector(
        small, drawn, settings=settings, seeds_start=0, features=loss
    ).save_state()
    with refuses("resume", "settings"):
        open_projector(small, drawn, settings=settings, seeds_start=0).load_state(state)
    with refuses("resume", "settings"):
        other = replace(settings, features=0.2)
        open_projector(small, drawn, settings=other, seeds_start=0, features=loss).load_state(state)


def test_networks_of_other_opsets_are_converted(loss: FeatureLoss, tmp_path: Path) -> None:
    old = write_network(tmp_path / "old.onnx", "LeakyRelu", opset=11)
    found = FeatureLoss.open(write_feature_loss(old, tmp_path / "loss.onnx"), threads=1)
    img = np.random.RandomState(0).uniform(-1, 1, (1, 3, SIZE, SIZE)).astype(np.float32)
    np.testing.assert_array_equal(found.describe(img), loss.describe(img))


def test_what_is_no_feature_network_is_refused(tmp_path: Path, refuses: Refuses) -> None:
    out = tmp_path / "loss.onnx"
    network = write_network(tmp_path / "network.onnx", "Floor")
    with refuses("network.onnx", "Floor", "has no adjoint"):
        write_feature_loss(network, out)
    with refuses("resize"):
        write_feature_loss(write_network(network, resize="cubic"), out)
    model = onnx.load(str(network))
    model.graph.output[0].type.tensor_type.shape.dim.add().dim_value = 1
    onnx.save(model, str(network))
    with refuses("expected [N, 3, S, S] and [N, d]"):
        write_feature_loss(network, out)
    with refuses("expected an ONNX file"):
        write_feature_loss(tmp_path / "none.onnx", out)
    (tmp_path / "text.onnx").write_text("no graph")
    with refuses("cannot read", "text.onnx"):
        write_feature_loss(tmp_path / "text.onnx", out)
    assert not out.exists()
    with refuses("holds no gradient. Make it: stylert features"):
        FeatureLoss.open(write_network(network))
    with refuses("expected an ONNX file"):
        FeatureLoss.open(tmp_path / "none.onnx")
