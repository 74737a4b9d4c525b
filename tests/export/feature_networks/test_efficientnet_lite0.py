"""EfficientNet-lite0 of seeded random weights, against the same network written with torch."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F

from stylert.apps.evaluation.feature_network import FeatureNetwork
from stylert.export.adjoint.feature_loss import write_feature_loss
from stylert.export.feature_networks import PublishedWeights, make_feature_network, making
from stylert.export.feature_networks.efficientnet_lite0 import (
    STAGES,
    count_maps,
    emit_efficientnet_lite0_maps,
)
from stylert.export.feature_networks.weights import read_weights
from stylert.export.onnx_graph import GraphBuilder
from stylert.runtime.errors import CheckpointError, InvalidInput

KIND = "efficientnet-lite0"
State = dict[str, torch.Tensor]


def list_blocks() -> list[tuple[int, int, int, int, int]]:
    """Of each block: channels in, kernel, stride, expansion, channels out."""
    blocks, channels = [], 32
    for count, kernel, stride, expansion, out in STAGES:
        for block in range(count):
            blocks.append((channels, kernel, 1 if block else stride, expansion, out))
            channels = out
    return blocks


def make_state(seed: int = 0) -> State:
    random = torch.Generator().manual_seed(seed)
    state: State = {}

    def add(conv: str, norm: str, O: int, I: int, k: int) -> None:
        state[f"{conv}.weight"] = torch.randn(O, I, k, k, generator=random) * (I * k * k) ** -0.5
        state[f"{norm}.weight"] = torch.rand(O, generator=random) + 0.5
        state[f"{norm}.bias"] = torch.randn(O, generator=random)
        state[f"{norm}.running_mean"] = torch.randn(O, generator=random) * 0.2
        state[f"{norm}.running_var"] = torch.rand(O, generator=random) + 0.5
        state[f"{norm}.num_batches_tracked"] = torch.tensor(7)

    add("_conv_stem", "_bn0", 32, 3, 3)
    for n, (channels, k, _, expansion, out) in enumerate(list_blocks()):
        at, wide = f"_blocks.{n}.", channels * expansion
        if expansion > 1:
            add(f"{at}_expand_conv", f"{at}_bn0", wide, channels, 1)
        add(f"{at}_depthwise_conv", f"{at}_bn1", wide, 1, k)
        add(f"{at}_project_conv", f"{at}_bn2", out, wide, 1)
    add("_conv_head", "_bn1", 1280, 320, 1)
    state["_fc.weight"] = torch.zeros(1000, 1280)
    return state


def run_torch(state: State, images: np.ndarray) -> np.ndarray:
    """The features [N, 1280] of uint8 [N, 224, 224, 3]."""
    *_, head = list_maps(state, torch.from_numpy(images).permute(0, 3, 1, 2).float())
    return head.mean((2, 3)).numpy()


def list_maps(state: State, pixels: torch.Tensor) -> list[torch.Tensor]:
    """What each block gives of pixels [N, 3, H, W] of 0 to 255, and the head."""

    def convolve(x: torch.Tensor, conv: str, norm: str, stride: int = 1) -> torch.Tensor:
        weight = state[f"{conv}.weight"]
        need = max(weight.shape[-1] - stride, 0)
        x = F.pad(x, (need // 2, need - need // 2) * 2)
        groups = x.shape[1] // weight.shape[1]
        x = F.conv2d(x, weight, stride=stride, groups=groups)
        of = [state[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *of, eps=1e-3)

    found, x = [], (pixels - 127) / 128
    x = F.relu6(convolve(x, "_conv_stem", "_bn0", 2))
    for n, (channels, _, stride, expansion, out) in enumerate(list_blocks()):
        at, y = f"_blocks.{n}.", x
        if expansion > 1:
            y = F.relu6(convolve(y, f"{at}_expand_conv", f"{at}_bn0"))
        y = F.relu6(convolve(y, f"{at}_depthwise_conv", f"{at}_bn1", stride))
        y = convolve(y, f"{at}_project_conv", f"{at}_bn2")
        x = x + y if stride == 1 and channels == out else y
        found.append(x)
    return [*found, F.relu6(convolve(x, "_conv_head", "_bn1"))]


@pytest.fixture(scope="module")
def state() -> State:
    return make_state()


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, state: State) -> Path:
    """The file of the random weights, as the table has the one of ImageNet."""
    path = tmp_path / "weights.pth"
    torch.save(state, path)
    publish(monkeypatch, path)
    return path


def publish(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    table = {KIND: (PublishedWeights((path.name,), digest, "none"),)}
    monkeypatch.setattr(making, "PUBLISHED", table)


def test_the_graph_is_the_network(published: Path, state: State, tmp_path: Path) -> None:
    network = FeatureNetwork.open(make_feature_network(KIND, published, tmp_path / "made.onnx"))
    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    expected = run_torch(state, images)
    assert expected.std() > 0.1
    assert np.abs(network.extract(images) - expected).max() < 2e-5


class StateWeights:
    """As `Weights`."""

    def __init__(self, state: State) -> None:
        self._state = state

    def take(self, name: str, *shape: int) -> np.ndarray:
        assert self._state[name].shape == shape
        return np.asarray(self._state[name].numpy().astype(np.float64))


def test_distances_of_maps_and_their_gradient(state: State, tmp_path: Path) -> None:
    """The loss is the mean over five maps of the distance of channels, each at unit length.

    This one takes pixels of another range than the published, and not from its middle.
    """
    size, g = 64, GraphBuilder("maps")
    x = g.input("pixels", ["N", 3, size, size])
    weights: Any = StateWeights(state)
    scale, shift = (g.constant(f"of{n}", np.full((), n, np.float32)) for n in (127.5, 127.4))
    whole = g.op("Add", g.op("Mul", x, scale, name="byte"), shift, name="bytes")
    rows = emit_efficientnet_lite0_maps(g, whole, weights, size=size)
    g.output(rows, "features", "float32", ["N", count_maps(size)])
    metadata = {"stylert.name": "maps", "stylert.range": "-1,1", "stylert.resize": "bicubic"}
    g.save(tmp_path / "maps.onnx", metadata=metadata)
    write_feature_loss(tmp_path / "maps.onnx", tmp_path / "loss.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "loss.onnx"))
    random = np.random.default_rng(0)
    img, other = random.uniform(-1, 1, (2, 2, 3, size, size)).astype(np.float32)
    nothing = np.zeros((2, count_maps(size)), np.float32)
    (target,) = session.run(["features"], {"img": other, "target": nothing})
    feeds = {"img": img, "target": target}
    loss, gradient = session.run(["loss", "grad_img"], feeds)

    leaf = torch.from_numpy(img).double().requires_grad_(True)
    exact = {name: tensor.double() for name, tensor in state.items()}
    pairs = (list_maps(exact, p * 127.5 + 127.4) for p in (leaf, torch.from_numpy(other).double()))
    expected = torch.zeros(2, dtype=torch.float64)
    for n, (one, two) in enumerate(zip(*pairs, strict=True)):
        if n in (0, 2, 4, 10, 15):  # the last block of each size
            unit, at = (p / p.norm(dim=1, keepdim=True) for p in (one, two))
            expected = expected + (unit - at).square().sum(1).mean((1, 2)) / 5
    expected.sum().backward()
    assert leaf.grad is not None
    np.testing.assert_allclose(loss, expected.detach().numpy(), rtol=1e-5)
    assert (loss > 0.01).all()
    difference = np.linalg.norm(gradient - leaf.grad.numpy())
    assert difference < 1e-4 * np.linalg.norm(leaf.grad.numpy())


def test_the_old_files_of_torch_are_read(state: State, tmp_path: Path) -> None:
    old = tmp_path / "old.pth"
    torch.save(state, old, _use_new_zipfile_serialization=False)
    taken = read_weights(old).take("_conv_stem.weight", 32, 3, 3, 3)
    assert np.array_equal(taken, state["_conv_stem.weight"].numpy())


def test_other_files_are_refused(
    monkeypatch: pytest.MonkeyPatch, state: State, published: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.onnx"

    def refuse(message: str, path: Path = published) -> None:
        with pytest.raises(CheckpointError, match=message):
            make_feature_network(KIND, path, out)
        assert not out.exists()

    with pytest.raises(InvalidInput, match="expected the file weights"):
        make_feature_network(KIND, tmp_path / "none", out)
    changed = tmp_path / "changed.pth"
    changed.write_bytes(published.read_bytes() + b"\0")
    refuse("its SHA-256 begins with .* expected .* that of weights.pth", changed)
    for name, tensor, message in (
        ("_conv_head.weight", None, "it has no tensor '_conv_head.weight'"),
        ("_conv_head.weight", torch.zeros(1280, 32, 1, 1), "expected .1280, 320, 1, 1."),
        ("_bn0.bias", torch.full((32,), torch.nan), "numbers that are not finite"),
    ):
        other = {**state, name: tensor} if tensor is not None else {**state}
        if tensor is None:
            del other[name]
        torch.save(other, published)
        publish(monkeypatch, published)
        refuse(message)
    torch.save([1], published)
    publish(monkeypatch, published)
    refuse("it holds a list, expected tensors by name")


def test_nothing_of_torchscript_is_run(
    monkeypatch: pytest.MonkeyPatch, published: Path, tmp_path: Path
) -> None:
    import zipfile

    with zipfile.ZipFile(published, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("x/data.pkl", b"\x80\x02}.")
        archive.writestr("x/constants.pkl", b"\x80\x02).")
        archive.writestr("x/code/__torch__.py", b"raise SystemExit")
    publish(monkeypatch, published)
    with pytest.raises(CheckpointError, match="a TorchScript archive, which holds code"):
        make_feature_network(KIND, published, tmp_path / "out.onnx")


def test_what_makes_networks_loads_no_torch(tmp_path: Path) -> None:
    import subprocess

    code = (
        "import sys, stylert.export.feature_networks.caches\n"
        "assert 'torch' not in sys.modules and 'onnx' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
