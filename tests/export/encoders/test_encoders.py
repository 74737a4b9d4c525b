"""Encoders: the official ones' codes by reference and graph, every head, and damaged files."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stylert.export.checkpoints import read_checkpoint
from stylert.export.checkpoints.checkpoint import Source
from stylert.export.encoders.config import Encoder, EncoderConfig
from stylert.export.encoders.graph import build_encoder_graph, list_blocks
from stylert.export.encoders.models import EncoderModel
from stylert.export.encoders.native import write_encoder
from stylert.export.encoders.reader import read_encoder
from stylert.export.families import build_model
from stylert.export.graph_session import open_graph
from stylert.runtime.errors import CheckpointError

GOLDENS = Path(__file__).parents[2] / "goldens" / "encoders"
NAMES = sorted(path.stem for path in GOLDENS.glob("*.pt"))
MOST = 2e-5  # of the range of the codes; the issue asks for 1e-4


@cache
def read(name: str) -> tuple[Encoder, dict[str, np.ndarray]]:
    return read_encoder(GOLDENS / f"{name}.pt"), dict(np.load(GOLDENS / f"{name}.npz"))


def make_photos(config: EncoderConfig, resized: np.ndarray) -> np.ndarray:
    """Pictures [N, H, W(, 3)] as the encoder takes them."""
    if config.picture == "labels":
        planes = np.arange(config.channels)[None, :, None, None]
        return (resized[:, None] == planes).astype(np.float32)
    return np.ascontiguousarray((resized.astype(np.float32) / 127.5 - 1).transpose(0, 3, 1, 2))


def run(encoder: Encoder, feeds: dict[str, np.ndarray], image: tuple[int, int, int]) -> Any:
    """The ws by PyTorch, and by the graph."""
    model = EncoderModel.from_encoder(encoder)
    expected = model(*map(torch.from_numpy, feeds.values())).numpy()
    session = open_graph(build_encoder_graph(encoder, image), threads=1)
    return expected, session.run(["ws"], feeds)[0]


def differ(one: np.ndarray, other: np.ndarray) -> float:
    """The largest difference, of the range."""
    assert one.shape == other.shape
    return float(np.abs(one - other).max() / np.abs(other).max())


def test_the_goldens_are_of_several_kinds() -> None:
    configs = [read(name)[0].config for name in NAMES]
    assert {c.title for c in configs} == {"pSp", "e4e", "ReStyle e4e"}
    assert {c.head for c in configs} == {"pyramid", "flat", "w"}
    assert {c.backbone for c in configs} == {"ir_se50", "resnet34"}
    assert {c.picture for c in configs} == {"photo", "labels"}


@pytest.mark.parametrize("name", NAMES)
def test_official_codes_and_pictures(name: str) -> None:
    encoder, official = read(name)
    photos = make_photos(encoder.config, official["resized"][:1])
    pictures, codes = official["images"], official["codes"]
    feeds = {"photo": photos}
    if encoder.config.feedback:  # the second pass sees the pictures of the first
        assert encoder.config.passes == len(codes) == 5
        feeds |= {"img": pictures[0], "codes": codes[0]}
        pictures, codes = pictures[1], codes[1]
        feeds = {key: array[:1] for key, array in feeds.items()}
    pictures, codes = pictures[:1], codes[:1]
    for made in run(encoder, feeds, pictures.shape[1:]):
        assert differ(made, codes) <= MOST
    generator = build_model(read_checkpoint(GOLDENS / f"{name}.pt"))
    drawn = generator.synthesis(torch.from_numpy(codes)).detach().numpy()
    np.testing.assert_allclose(drawn, pictures, rtol=0, atol=1e-5)


def test_the_first_pass_of_restyle_starts_from_the_average() -> None:
    encoder, official = read("restyle-resnet-16")
    assert encoder.average is not None
    codes = np.stack([encoder.average] * 2)
    generator = build_model(read_checkpoint(GOLDENS / "restyle-resnet-16.pt"))
    img = generator.synthesis(torch.from_numpy(codes)).detach().numpy()
    photo = make_photos(encoder.config, official["resized"])
    for made in run(encoder, {"photo": photo, "img": img, "codes": codes}, (3, 16, 16)):
        assert differ(made, official["codes"][0]) <= MOST


def test_passes_of_restyle_amplify_rounding_as_the_official_ones_do() -> None:
    """Its pictures go back into it: after five passes float32 itself is 2e-4 from float64.

    So gate 1, codes within 1e-4 of the official ones, holds for the first three passes; the fourth
    and fifth miss it, as the official code's own rounding does. Gate 2 of the proof holds for all:
    from float64 at most 4 times the official rms, and 8 times its maximum.
    """
    encoder, official = read("restyle-resnet-16")
    photo = make_photos(encoder.config, official["resized"][:1])
    generator = build_model(read_checkpoint(GOLDENS / "restyle-resnet-16.pt"))
    model = EncoderModel.from_encoder(encoder)
    session = open_graph(build_encoder_graph(encoder, (3, 16, 16)), threads=1)
    assert encoder.average is not None
    made = exact = torch.from_numpy(np.stack([encoder.average] * len(photo)))
    for step, codes in enumerate(official["codes"][:, :1]):
        img = generator.float().synthesis(made).detach().numpy()
        feeds = {"photo": photo, "img": img, "codes": made.numpy()}
        made = torch.from_numpy(session.run(["ws"], feeds)[0])
        img64 = generator.double().synthesis(exact.double()).detach()
        with torch.no_grad():
            exact = model.double()(torch.from_numpy(photo).double(), img64, exact.double())
        ours, theirs = (
            np.abs(x - exact.numpy()) / np.abs(exact.numpy()).max() for x in (made.numpy(), codes)
        )
        if step < 3:
            assert differ(made.numpy(), codes) <= 1e-4, step
        assert np.sqrt(np.square(ours).mean()) <= 4 * np.sqrt(np.square(theirs).mean()), step
        assert ours.max() <= max(1e-4, 8 * theirs.max()), step


SMALL = {"widths": (4, 4, 8, 8), "squeeze": 2, "w_dim": 8, "num_ws": 8, "num_codes": 8}
VARIANTS: dict[str, dict[str, Any]] = {
    "w_plus, cut": {"head": "w_plus", "num_ws": 6},
    "pyramid, offsets, cut, a car": {"num_ws": 6, "offsets": True, "height": 192},
    "pyramid of a ResNet": {"backbone": "resnet34"},
    "w of a sketch": {"head": "w", "num_codes": 1, "channels": 1, "picture": "sketch"},
    "flat, of faces": {"head": "flat", "feedback": True, "image": (3, 512, 512)},
    "flat, a car": {
        "head": "flat",
        "backbone": "resnet34",
        "feedback": True,
        "height": 192,
        "rows": (64, 448),
        "image": (3, 512, 512),
    },
    "our own": {
        "backbone": "plain",
        "head": "plain",
        "widths": (4, 6, 8),
        "hidden": 6,
        "num_codes": 1,
        "height": 32,
        "width": 16,
    },
}


def make_random(seed: int = 0, **changes: Any) -> Encoder:
    """An encoder of random weights that keep the scale of what they see."""
    config = EncoderConfig(
        **{"title": "test", "backbone": "ir_se50", "head": "pyramid", **SMALL, **changes}
    )
    random = np.random.default_rng(seed)
    tensors = {}
    for name, shape in config.list_shapes().items():
        array = random.standard_normal(shape)
        if name.endswith("running_var"):
            array = 0.5 + random.random(shape)
        elif name.endswith("weight") and len(shape) > 1 and not name.endswith("linear.weight"):
            array = array / np.sqrt(np.prod(shape[1:]))
        elif name.endswith("weight") and len(shape) == 1:
            array = 0.2 + 0.3 * random.random(shape)
        tensors[name] = array.astype(np.float32)
    average = random.standard_normal((config.num_ws, config.w_dim)).astype(np.float32)
    return Encoder(config, tensors, average, Source("test", "", 0))


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_head_and_backbone(variant: str) -> None:
    """In float32, with all that may be in half precision, and with every other part."""
    changes = dict(VARIANTS[variant])
    image = changes.pop("image", (3, 16, 16))
    encoder = make_random(**changes)
    c, random = encoder.config, np.random.default_rng(1)
    feeds = {"photo": random.standard_normal((2, c.channels, c.height, c.width))}
    if c.feedback:
        feeds["img"] = random.standard_normal((2, *image))
        feeds["codes"] = random.standard_normal((2, c.num_ws, c.w_dim))
    expected, made = run(
        encoder, {name: array.astype(np.float32) for name, array in feeds.items()}, image
    )
    assert made.shape == (2, c.num_ws, c.w_dim)
    assert np.ptp(expected - (0 if encoder.average is None else encoder.average)) > 0.1
    assert differ(made, expected) <= MOST
    blocks = list_blocks(c)
    alone = {name: array[:1].astype(np.float32) for name, array in feeds.items()}
    for half in (blocks, blocks[::2]):
        graph = build_encoder_graph(encoder, image, half)
        (rounded,) = open_graph(graph, threads=1).run(["ws"], alone)
        assert 1e-6 < differ(rounded, expected[:1]) < 1e-3


def test_our_own_file(tmp_path: Path) -> None:
    encoder = make_random(**VARIANTS["our own"])
    assert encoder.average is not None
    encoder = replace(encoder, average=np.repeat(encoder.average[:1], 8, axis=0))
    file = tmp_path / "encoder.safetensors"
    write_encoder(encoder, file, trained="nothing")
    again = read_encoder(file)
    assert again.config == replace(encoder.config, title="StyleRT", squeeze=16)
    assert again.notes == ("trained on nothing",)
    for name, array in encoder.tensors.items():
        np.testing.assert_array_equal(again.tensors[name], array.astype(np.float16))
    expected, made = run(again, {"photo": np.ones((1, 3, 32, 16), np.float32)}, (3, 16, 16))
    assert differ(made, expected) <= MOST
    stored = build_encoder_graph(again, (3, 16, 16)).save(tmp_path / "encoder.onnx")[0]
    assert stored.stat().st_size < 3 * sum(array.size for array in again.tensors.values()) + 6000
    assert again.average is not None
    np.testing.assert_array_equal(again.average, encoder.average.astype(np.float16))
    damaged = file.read_bytes().replace(b'\\"hidden\\": 6', b'\\"hidden\\": 0')
    (tmp_path / "damaged.safetensors").write_bytes(damaged)
    with pytest.raises(CheckpointError, match="metadata in the file is damaged"):
        read_encoder(tmp_path / "damaged.safetensors")


def change_state(change: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    return lambda value: change(value["state_dict"])


def drop(*names: str) -> Callable[[dict[str, Any]], Any]:
    return lambda container: [container.pop(name) for name in names]


def drop_decoder(state: dict[str, Any]) -> None:
    for name in [name for name in state if name.startswith("decoder.")]:
        del state[name]


def put(name: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda container: container.update({name: value})


DAMAGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "latent_avg is missing": drop("latent_avg"),
    "latent_avg: got shape": put("latent_avg", torch.zeros(3)),
    "'encoder_type'": put("opts", {}),
    "styles.3.linear.bias is missing": change_state(drop("encoder.styles.3.linear.bias")),
    "extra is unknown": change_state(put("encoder.extra", torch.zeros(2))),
    "no generator": change_state(drop_decoder),
    "got shape [4]": change_state(put("encoder.input_layer.1.bias", torch.zeros(4))),
    "NaN": change_state(put("encoder.input_layer.1.bias", torch.full([8], torch.nan))),
    "variance": change_state(put("encoder.input_layer.1.running_var", -torch.ones(8))),
    "sees 4 channels": change_state(put("encoder.input_layer.0.weight", torch.zeros(8, 4, 3, 3))),
    "no encoder": change_state(drop("encoder.input_layer.0.weight")),
}


@pytest.mark.parametrize("words", DAMAGES)
def test_damaged_files(tmp_path: Path, words: str) -> None:
    value = torch.load(GOLDENS / "e4e-32.pt", map_location="cpu", weights_only=True)
    DAMAGES[words](value)
    if words == "sees 4 channels":
        value["opts"]["label_nc"] = 0
    file = tmp_path / "damaged.pt"
    torch.save(value, file)
    with pytest.raises(CheckpointError, match=re.escape(words)) as caught:
        read_encoder(file)
    assert "\n" not in str(caught.value)


def test_other_files(tmp_path: Path, goldens: Path) -> None:
    with pytest.raises(CheckpointError, match="no encoder"):
        read_encoder(goldens / "rosinality-32.pt")
    with pytest.raises(CheckpointError, match=r"neither of torch\.save"):
        read_encoder(goldens / "README.md")
    with pytest.raises(CheckpointError, match="No such file"):
        read_encoder(tmp_path / "missing.pt")
    cut = (GOLDENS / "e4e-32.pt").read_bytes()[:1_000_000]
    (tmp_path / "cut.pt").write_bytes(cut)
    with pytest.raises(CheckpointError):
        read_encoder(tmp_path / "cut.pt")
