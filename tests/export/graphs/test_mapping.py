"""The mapping of a StyleGAN-XL, whose classes are looked up: its reference and its graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from stylert.export.checkpoints import Checkpoint
from stylert.export.checkpoints.configs.stylegan3_design import StyleGAN3Design
from stylert.export.checkpoints.untrained import make_untrained
from stylert.export.families import build_model
from stylert.export.graphs.mapping import build_mapping_graph
from stylert.export.parity.scenes import make_labels
from stylert.runtime.parity import TOLERANCES, compare

FIELDS: dict[str, dict[str, Any]] = {
    "as published": {"c_dim": 10, "z_dim": 16, "embed_features": 16, "class_features": 32},
    "other widths": {"c_dim": 7, "z_dim": 5, "embed_features": 3, "class_features": 9},
    "one class": {"c_dim": 1, "z_dim": 8, "embed_features": 8, "class_features": 1},
    "1000 classes": {"c_dim": 1000, "z_dim": 8, "embed_features": 8, "class_features": 4},
    "one layer": {
        "c_dim": 3,
        "z_dim": 8,
        "embed_features": 8,
        "class_features": 4,
        "mapping_layers": 1,
    },
    "relu": {
        "c_dim": 3,
        "z_dim": 8,
        "embed_features": 8,
        "class_features": 4,
        "mapping_activation": "relu",
    },
}
W, LAYERS = 12, 5


@pytest.fixture(params=FIELDS)
def checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    design = StyleGAN3Design(img_resolution=16, channel_max=4, num_layers=3, num_critical=1)
    fields = {"w_dim": W, "mapping_layers": 2, "mapping_features": 6, **FIELDS[request.param]}
    return make_untrained("tabled", config=design.make_config(**fields))


def make_feeds(checkpoint: Checkpoint, batch: int = 6) -> dict[str, np.ndarray]:
    """Labels that are no classes, too: the largest number of each decides."""
    random = np.random.RandomState(1)
    config = checkpoint.config
    labels = random.randn(batch, config.c_dim).astype(np.float32)
    labels[:3] = np.eye(config.c_dim)[[0, config.c_dim - 1, config.c_dim // 2]]
    return {
        "z": random.randn(batch, config.z_dim).astype(np.float32),
        "c": labels,
        "truncation_psi": random.rand(batch, LAYERS).astype(np.float32),
    }


def map_by_hand(checkpoint: Checkpoint, feeds: dict[str, np.ndarray]) -> np.ndarray:
    """Row by row in float64, as StyleGAN-XL defines it."""
    t = {
        name.removeprefix("mapping."): a.astype(np.float64)
        for name, a in checkpoint.tensors.items()
    }
    config = checkpoint.config

    def normalize(x: np.ndarray) -> np.ndarray:
        return x / np.sqrt((x**2).mean() + 1e-8)

    def dense(x: np.ndarray, name: str, lr: float, slope: float) -> np.ndarray:
        weight = t[f"{name}.weight"]
        x = weight @ x * (lr / np.sqrt(weight.shape[1])) + t[f"{name}.bias"] * lr
        return np.where(x > 0, x, slope * x) * np.sqrt(2)

    rows = []
    for z, c, psi in zip(feeds["z"], feeds["c"], feeds["truncation_psi"], strict=True):
        label = dense(t["embed.weight"][c.argmax()], "embed_proj", 1, 0.2)
        x = np.concatenate([normalize(z.astype(np.float64)), normalize(label)])
        for i in range(config.mapping_layers):
            x = dense(x, f"fc{i}", 0.01, 0.2 if config.mapping_activation == "lrelu" else 0)
        mean = t["w_avg"][c.argmax()]
        rows.append(mean + psi[:, None] * (x - mean))
    return np.stack(rows)


def test_reference_and_graph_look_classes_up(checkpoint: Checkpoint, tmp_path: Path) -> None:
    feeds = make_feeds(checkpoint)
    expected = map_by_hand(checkpoint, feeds)
    z, c, psi = map(torch.from_numpy, feeds.values())
    mapping = build_model(checkpoint).mapping
    assert compare(expected, mapping(z, c, truncation_psi=psi).numpy()).within(TOLERANCES["fp32"])
    assert mapping.double()(z.double(), c, truncation_psi=psi).numpy() == pytest.approx(expected)
    build_mapping_graph(checkpoint).save(tmp_path / "mapping.onnx")
    session = onnxruntime.InferenceSession(
        tmp_path / "mapping.onnx", providers=["CPUExecutionProvider"]
    )
    (ws,) = session.run(["ws"], feeds)
    assert compare(expected, ws).within(TOLERANCES["fp32"])
    for i in range(len(ws)):
        (row,) = session.run(["ws"], {name: array[i : i + 1] for name, array in feeds.items()})
        assert compare(ws[i : i + 1], row).within(TOLERANCES["fp32"])


def test_a_number_and_a_cutoff_truncate_to_the_mean_of_the_class(checkpoint: Checkpoint) -> None:
    feeds = make_feeds(checkpoint)
    z, c, _ = map(torch.from_numpy, feeds.values())
    feeds["truncation_psi"][:, :2], feeds["truncation_psi"][:, 2:] = 0.3, 1
    got = build_model(checkpoint).mapping(z, c, truncation_psi=0.3, truncation_cutoff=2)
    assert compare(map_by_hand(checkpoint, feeds), got.numpy()).within(TOLERANCES["fp32"])


def test_the_proof_looks_classes_up_all_over_the_table(checkpoint: Checkpoint) -> None:
    config = checkpoint.config
    labels = make_labels(range(32), config)
    assert labels is not None
    assert (np.sort(labels, axis=1)[:, :-1] == 0).all()
    assert (labels.max(axis=1) == 1).all()
    found = np.unique(labels.argmax(axis=1))
    assert len(found) == min(config.c_dim, 32)
    assert np.diff(found).max(initial=1) <= max(1, config.c_dim // 8)
    again = make_labels([2**32 - 1, 5], config)
    assert again is not None
    assert np.array_equal(again[1], labels[5])
