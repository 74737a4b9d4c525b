"""The official half-precision path, in CPU kernels: what an engine is compared with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stylert.export.checkpoints import read_checkpoint
from stylert.export.models import layers
from stylert.export.models.layers import modulated_conv2d
from stylert.export.models.stylegan2 import Block, StyleGAN2
from stylert.runtime.proof.parity import compare

OFFICIAL = {"sg2-fp16-64": 75.6, "sg2-hot-64": 74.5}  # dB of its half path against its own float32


def drawn(goldens: Path, name: str, *, half: bool, batch: int = 4) -> np.ndarray:
    """The golden's images, drawn so many at a time."""
    checkpoint = read_checkpoint(goldens / f"{name}.pkl")
    blocks = checkpoint.config.native_half_blocks if half else ()
    model = StyleGAN2.from_checkpoint(checkpoint, half_blocks=blocks)
    with np.load(goldens / f"{name}.npz") as arrays:
        ws = torch.from_numpy(arrays["ws_psi1"])
    return torch.cat([model.synthesis(part) for part in ws.split(batch)]).numpy()


def psnr(expected: np.ndarray, got: np.ndarray) -> float:
    """Of all images together, in dB."""
    assert np.isfinite(got).all()
    error = np.mean(np.square(got.astype(np.float64) - expected))
    return float(10 * np.log10((float(expected.max()) - float(expected.min())) ** 2 / error))


@pytest.mark.parametrize("name", OFFICIAL)
def test_it_is_as_exact_as_the_official_path(goldens: Path, name: str) -> None:
    expected = drawn(goldens, name, half=False)
    got = drawn(goldens, name, half=True)
    assert got.dtype == np.float32
    assert psnr(expected, got) == pytest.approx(OFFICIAL[name], abs=1)
    one_by_one = drawn(goldens, name, half=True, batch=1)  # modulated weights are rounded once
    assert OFFICIAL[name] - 1 < psnr(expected, one_by_one) < OFFICIAL[name] + 6


@pytest.mark.parametrize("name", ["sg2-resnet-32", "sg2-orig-32", "sg2-nhwc-32", "sg2-gray-64"])
def test_every_architecture(goldens: Path, name: str) -> None:
    expected = drawn(goldens, name, half=False)
    got = drawn(goldens, name, half=True)
    assert 70 < psnr(expected, got) < 90
    assert compare(expected, got).psnr_db > 60


def test_without_its_scaling_it_overflows(goldens: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "_scale_to_one", lambda weight, styles: (weight, styles))
    assert not np.isfinite(drawn(goldens, "sg2-hot-64", half=True)).all()


def test_blocks_have_the_precision_that_was_asked_for(goldens: Path) -> None:
    checkpoint = read_checkpoint(goldens / "sg2-fp16-64.pkl")
    model = StyleGAN2.from_checkpoint(checkpoint, half_blocks=["b16", "b32"])
    found = {}
    for name, block in model.synthesis.named_children():
        assert isinstance(block, Block)
        block.register_forward_hook(
            lambda module, inputs, output, name=name: found.update(
                {name: (output[0].dtype, output[1].dtype)}
            )
        )
    model.synthesis(torch.zeros(2, checkpoint.config.num_ws, checkpoint.config.w_dim))
    half, full = torch.float16, torch.float32
    activations = {"b4": full, "b8": full, "b16": half, "b32": half, "b64": full}
    assert found == {name: (dtype, full) for name, dtype in activations.items()}
    assert {p.dtype for p in model.parameters()} == {full}


def test_the_clamp_is_kept(goldens: Path) -> None:
    checkpoint = read_checkpoint(goldens / "sg2-hot-64.pkl")
    config = replace(checkpoint.config, conv_clamp=None)
    model = StyleGAN2.from_checkpoint(
        replace(checkpoint, config=config), half_blocks=config.native_half_blocks
    )
    with np.load(goldens / "sg2-hot-64.npz") as arrays:
        unclamped = model.synthesis(torch.from_numpy(arrays["ws_psi1"])).numpy()
    assert np.abs(unclamped - drawn(goldens, "sg2-hot-64", half=True)).max() > 0.5


@pytest.mark.parametrize("upsample", [False, True])
@pytest.mark.parametrize("demodulate", [False, True])
@pytest.mark.parametrize("images", [1, 3])
def test_modulated_conv2d_in_half(images: int, *, demodulate: bool, upsample: bool) -> None:
    random = np.random.RandomState(0)
    x, weight, styles = (
        torch.from_numpy(random.randn(*shape).astype(np.float32))
        for shape in ((images, 8, 5, 6), (4, 8, 3, 3), (images, 8))
    )
    fir = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8 if upsample else None
    expected = modulated_conv2d(x.half().float(), weight, styles, demodulate=demodulate, fir=fir)
    got = modulated_conv2d(x.half(), weight, styles, demodulate=demodulate, fir=fir)
    assert got.dtype == torch.float16
    assert got.shape == expected.shape
    assert (got.float() - expected).abs().max() < 4e-3 * expected.abs().max()
