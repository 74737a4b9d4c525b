"""CLIP's image tower of random weights in both layouts, against the same written in torch."""

from __future__ import annotations

import hashlib
import warnings
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stylert.apps.evaluation import open_network
from stylert.apps.evaluation.resizing import resize_bytes
from stylert.export.feature_networks import PublishedWeights, make_feature_network, making
from stylert.export.feature_networks.caches import find_published
from stylert.export.feature_networks.clip_image import Tower, emit_clip_image
from stylert.runtime.errors import CheckpointError

KIND = "clip-image"
TOWER = Tower(size=32, patch=8, width=128, blocks=2, dim=24)
WIDTH = TOWER.width


class Block(nn.Module):
    """A block under OpenAI's names."""

    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(WIDTH, WIDTH // 64, batch_first=True)
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.mlp = nn.ModuleDict(
            {"c_fc": nn.Linear(WIDTH, 4 * WIDTH), "c_proj": nn.Linear(4 * WIDTH, WIDTH)}
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        y = self.mlp["c_fc"](self.ln_2(x))
        return torch.as_tensor(x + self.mlp["c_proj"](y * torch.sigmoid(1.702 * y)))


class Transformer(nn.Module):
    """The blocks under OpenAI's names."""

    def __init__(self) -> None:
        super().__init__()
        self.resblocks = nn.Sequential(*(Block() for _ in range(TOWER.blocks)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.resblocks(x))


class Visual(nn.Module):
    """The tower: pixels [N, 3, S, S] as OpenAI normalises them, to [N, dim]."""

    def __init__(self) -> None:
        super().__init__()
        cells = (TOWER.size // TOWER.patch) ** 2
        self.conv1 = nn.Conv2d(3, WIDTH, TOWER.patch, TOWER.patch, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(WIDTH))
        self.positional_embedding = nn.Parameter(torch.randn(1 + cells, WIDTH))
        self.ln_pre, self.ln_post = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.transformer = Transformer()
        self.proj = nn.Parameter(torch.randn(WIDTH, TOWER.dim) / WIDTH**0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv1(x).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(x), 1, -1)
        x = torch.cat([first, x], 1) + self.positional_embedding
        x = self.transformer(self.ln_pre(x))
        return self.ln_post(x[:, 0]) @ self.proj


class Clip(nn.Module):
    """What OpenAI publishes, with something that is none of the image tower's."""

    def __init__(self) -> None:
        super().__init__()
        self.visual = Visual()
        self.logit_scale = nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.visual(x))


@pytest.fixture(scope="module")
def model() -> Clip:
    torch.manual_seed(0)
    made = Clip().eval()
    with torch.no_grad():
        for name, tensor in made.named_parameters():
            if "ln_" in name or name.endswith("bias"):  # so that they are not 0 and 1
                tensor += 0.2 * torch.randn(tensor.shape)
    return made


def write_script(model: Clip, path: Path) -> None:
    """As OpenAI does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(
            model, torch.zeros(1, 3, TOWER.size, TOWER.size), check_trace=False
        )
        torch.jit.save(traced, path)


def write_transformers(model: Clip, path: Path) -> None:
    """As the library transformers does."""
    state, root = model.state_dict(), "vision_model."
    found = {"visual_projection.weight": state["visual.proj"].T.contiguous()}
    found[f"{root}embeddings.class_embedding"] = state["visual.class_embedding"]
    found[f"{root}embeddings.position_embedding.weight"] = state["visual.positional_embedding"]
    found[f"{root}embeddings.patch_embedding.weight"] = state["visual.conv1.weight"]
    for of in ("weight", "bias"):
        found[f"{root}pre_layrnorm.{of}"] = state[f"visual.ln_pre.{of}"]
        found[f"{root}post_layernorm.{of}"] = state[f"visual.ln_post.{of}"]
        for n in range(TOWER.blocks):
            at, to = f"visual.transformer.resblocks.{n}.", f"{root}encoder.layers.{n}."
            joined = state[f"{at}attn.in_proj_{of}"].chunk(3)
            for name, tensor in zip("qkv", joined, strict=True):
                found[f"{to}self_attn.{name}_proj.{of}"] = tensor.clone()
            found[f"{to}self_attn.out_proj.{of}"] = state[f"{at}attn.out_proj.{of}"]
            for number in (1, 2):
                found[f"{to}layer_norm{number}.{of}"] = state[f"{at}ln_{number}.{of}"]
            found[f"{to}mlp.fc1.{of}"] = state[f"{at}mlp.c_fc.{of}"]
            found[f"{to}mlp.fc2.{of}"] = state[f"{at}mlp.c_proj.{of}"]
    torch.save(found, path)


def publish(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """As the table has OpenAI's file; the second hash, as those of the library are told."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    published = PublishedWeights((path.name,), "0" * 8, "MIT", others=(digest,), scripted=True)
    monkeypatch.setitem(making.PUBLISHED, KIND, (published,))
    small = partial(emit_clip_image, tower=TOWER)
    made = replace(making._MADE[KIND], emit=small, size=TOWER.size, dim=TOWER.dim)
    monkeypatch.setitem(making._MADE, KIND, made)


@pytest.mark.parametrize("write", [write_script, write_transformers])
def test_the_graph_is_the_tower(
    write: Any, model: Clip, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "weights.pt"
    write(model, path)
    publish(monkeypatch, path)
    out = make_feature_network(KIND, path, tmp_path / "clip.onnx")
    network = open_network(out, threads=1)
    images = np.random.default_rng(0).integers(0, 256, (3, 20, 20, 3), dtype=np.uint8)
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
    deviation = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
    pixels = torch.from_numpy(resize_bytes(images, TOWER.size)) / 255
    with torch.inference_mode():
        expected = model((pixels - mean) / deviation).numpy()
    assert expected.std() > 0.3
    assert np.abs(network.extract(images) - expected).max() < 2e-5
    told = network.describe()
    assert (told["name"], told["dim"]) == ("CLIP ViT-B/32", TOWER.dim)
    assert (told["resize"], told["licence"]) == ("bicubic-bytes", "MIT")


def test_torchs_own_attention_is_what_the_reference_takes(model: Clip) -> None:
    """Without a mistake of ours in both: attention by its definition, one head after the other."""
    block: Any = model.visual.transformer.resblocks[0]
    x = torch.randn(1, 5, WIDTH, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        q, k, v = F.linear(x, block.attn.in_proj_weight, block.attn.in_proj_bias).chunk(3, -1)
        heads = [
            (a @ b.transpose(1, 2) / 8).softmax(-1) @ c
            for a, b, c in zip(*(t.split(64, -1) for t in (q, k, v)), strict=True)
        ]
        expected = block.attn.out_proj(torch.cat(heads, -1))
        assert torch.allclose(block.attn(x, x, x)[0], expected, atol=1e-5)


def test_other_files_are_refused(
    model: Clip, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """RN50.pt is one of them: its SHA-256 is another."""
    path, out = tmp_path / "ViT-B-32.pt", tmp_path / "out.onnx"
    write_transformers(model, path)
    with pytest.raises(CheckpointError, match=r"expected 40d36571, that of ViT-B-32\.pt"):
        make_feature_network(KIND, path, out)
    torch.save({"visual.proj": torch.zeros(1)}, path)
    publish(monkeypatch, path)
    with pytest.raises(CheckpointError, match=r"no tensor 'visual\.conv1\.weight'"):
        make_feature_network(KIND, path, out)
    assert not out.exists()


def test_a_script_that_names_more_than_modules_is_refused(
    model: Clip, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    evil, path = b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.", tmp_path / "weights.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("x/data.pkl", evil)
        archive.writestr("x/constants.pkl", b"\x80\x02).")
        archive.writestr("x/code/__torch__.py", b"raise SystemExit")
    publish(monkeypatch, path)
    with pytest.raises(CheckpointError, match=r"refuses .*os.system"):
        make_feature_network(KIND, path, tmp_path / "out.onnx")


def test_weights_are_found_where_clip_and_transformers_keep_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("TORCH_HOME", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    (published,) = making.PUBLISHED[KIND]
    hub = tmp_path / "huggingface/hub/models--openai--clip-vit-base-patch32/snapshots/3d74acf"
    for file in (hub / "pytorch_model.bin", tmp_path / "clip" / "ViT-B-32.pt"):
        file.parent.mkdir(parents=True)
        file.touch()
        assert find_published(published) == file


def test_clips_resize_is_pillows_of_pictures() -> None:
    from PIL import Image

    image = np.random.default_rng(0).integers(0, 256, (1, 30, 20, 3), dtype=np.uint8)
    expected = Image.fromarray(image[0]).resize((11, 11), Image.Resampling.BICUBIC)
    assert np.array_equal(resize_bytes(image, 11)[0].transpose(1, 2, 0), np.asarray(expected))
    assert np.array_equal(resize_bytes(image.astype(np.float32), 11), resize_bytes(image, 11))
    grey = Image.fromarray(image[0, ..., 0]).resize((11, 11), Image.Resampling.BICUBIC)
    assert np.array_equal(resize_bytes(image[..., :1], 11)[0, 0], np.asarray(grey))
