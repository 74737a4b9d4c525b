"""The design of StyleGAN3, against the official networks and against the maths of its filters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.export.checkpoints import read_checkpoint
from stylert.export.checkpoints.configs.stylegan3_design import (
    StyleGAN3Design,
    bessel_j1,
    design_low_pass,
    design_radial_low_pass,
)

GOLDENS = Path(__file__).parents[3] / "goldens"
RADIAL: dict[str, Any] = {"conv_kernel": 1, "use_radial_filters": True, "channel_max": 1024}


def design_of(name: str) -> StyleGAN3Design:
    made = json.loads((GOLDENS / f"{name}.json").read_text())["init_kwargs"]
    fields = set(StyleGAN3Design.__dataclass_fields__)
    return StyleGAN3Design(**{key: made[key] for key in made.keys() & fields})


@pytest.mark.parametrize("name", ["sg3-t-64", "sg3-r-64"])
def test_goldens_are_designed_so(name: str) -> None:
    checkpoint, design = read_checkpoint(GOLDENS / f"{name}.pkl"), design_of(name)
    assert design.make_layers() == checkpoint.config.layers  # type: ignore[attr-defined]
    filters = design.make_filters()
    stored = {name for name in checkpoint.tensors if name.endswith("_filter")}
    assert filters.keys() == stored
    for name, fir in filters.items():
        assert fir.dtype == np.float32
        np.testing.assert_allclose(fir, checkpoint.tensors[name], atol=1e-8, rtol=0)


def shown(design: StyleGAN3Design) -> list[str]:
    """Name, factor of the upsampling and pads of each layer, where the last two are unusual."""
    usual = {3: (2, (9, 8)), 1: (2, (11, 10))}[design.conv_kernel]
    return [
        layer.name
        + (f" up {layer.up}" if layer.up != usual[0] else "")
        + (f" pad {layer.pads[1]}" if layer.pads != (usual[1],) * 2 else "")
        for layer in design.make_layers()
    ]


def test_official_t_1024() -> None:
    wide = " up 4 pad (-6, -9)"
    assert shown(StyleGAN3Design(img_resolution=1024)) == [
        "L0_36_512",
        "L1_36_512",
        f"L2_52_512{wide}",
        "L3_52_512",
        f"L4_84_512{wide}",
        f"L5_148_512{wide}",
        "L6_148_512",
        f"L7_276_323{wide}",
        "L8_276_203",
        f"L9_532_128{wide}",
        f"L10_1044_81{wide}",
        "L11_1044_51",
        "L12_1044_32",
        "L13_1024_32 pad (-11, -12)",
        "L14_1024_3 up 1 pad (0, 0)",
    ]


def test_official_t_256() -> None:
    wide = " up 4 pad (-6, -9)"
    assert shown(StyleGAN3Design(img_resolution=256, channel_base=16384)) == [
        "L0_36_512",
        "L1_36_512",
        "L2_36_512",
        f"L3_52_512{wide}",
        "L4_52_512",
        f"L5_84_512{wide}",
        "L6_84_512",
        f"L7_148_362{wide}",
        "L8_148_256",
        "L9_148_181",
        f"L10_276_128{wide}",
        "L11_276_91",
        "L12_276_64",
        "L13_256_64 pad (-11, -12)",
        "L14_256_3 up 1 pad (0, 0)",
    ]


def test_official_r_1024() -> None:
    design = StyleGAN3Design(img_resolution=1024, channel_base=65536, **RADIAL)
    wide = [1024] * 7 + [645, 406, 256, 161, 102, 64, 64, 3]
    assert [layer.out_channels for layer in design.make_layers()] == wide
    assert {s.partition(" pad ")[2] for s in shown(design)} == {
        "",
        "(-2, -5)",
        "(-9, -10)",
        "(0, 0)",
    }
    assert [layer.down_radial for layer in design.make_layers()] == [True] * 12 + [False] * 3
    assert not any(fir.ndim == 2 for name, fir in design.make_filters().items() if "up" in name)


def test_half_as_wide_as_high() -> None:
    """Sizes and padding of StyleGAN-Human's 512 x 256, and of a small one that its code made."""
    layers = StyleGAN3Design(img_resolution=512, square=False).make_layers()
    assert [layer.out_shape[1] for layer in layers[-3:]] == [266, 256, 256]
    assert layers[-1].name == "L14_256_3"
    assert layers[0].pads == ((9, 8), (9, 8))
    fields = {"img_resolution": 32, "channel_base": 256, "channel_max": 16, "square": False}
    small = StyleGAN3Design(num_layers=6, margin_size=4, **fields).make_layers()  # type: ignore[arg-type]
    assert small[2].name == "L2_20_16"
    assert (small[2].in_shape, small[2].out_shape) == ((24, 12), (40, 20))
    assert (small[2].padding, small[5].padding) == ((10, 7, 6, 3), (5, 4, 1, 0))


def test_halves_of_1024() -> None:
    layers = StyleGAN3Design(img_resolution=1024).make_layers()
    assert [layer.half for layer in layers] == [False] * 5 + [True] * 10  # rates above 64


def test_bessel_function() -> None:
    """Values of Abramowitz and Stegun, table 9.1, and zeros of table 9.5."""
    x = np.array([0.0, 1.0, 2.0, 5.0, 10.0, 17.5])
    expected = [0, 0.4400505857, 0.5767248078, -0.3275791376, 0.0434727462, -0.1634199694]
    np.testing.assert_allclose(bessel_j1(x), expected, atol=1e-10)
    zeros = np.array([3.8317059702, 7.0155866698, 10.1734681351, 13.3236919363])
    np.testing.assert_allclose(bessel_j1(zeros), 0, atol=1e-9)
    np.testing.assert_allclose(bessel_j1(-x), -bessel_j1(x), atol=1e-15)


def response(fir: np.ndarray, frequencies: np.ndarray, rate: float) -> np.ndarray:
    """Amplitude of a filter [t] at frequencies."""
    times = (np.arange(len(fir)) - (len(fir) - 1) / 2) / rate
    return np.abs(np.exp(2j * np.pi * frequencies[:, None] * times) @ fir)


@pytest.mark.parametrize("taps", [12, 24, 48])
def test_filters_pass_low_frequencies(taps: int) -> None:
    """The transition is about as wide as asked for; 48 taps attenuate better than 12."""
    fir = design_low_pass(taps, cutoff=8, width=12, rate=64)
    assert fir.sum() == pytest.approx(1)
    np.testing.assert_allclose(fir, fir[::-1], atol=1e-15)
    at_zero, at_cutoff, at_stop = response(fir, np.array([0.0, 8.0, 15.0]), 64)
    assert at_zero == pytest.approx(1)
    assert at_cutoff == pytest.approx(0.5, abs=0.05)
    assert at_stop < {12: 0.15, 24: 0.02, 48: 1e-3}[taps]


def test_radial_filters_do_not_depend_on_the_direction() -> None:
    fir = design_radial_low_pass(24, cutoff=8, width=12, rate=64)
    assert fir.shape == (24, 24)
    assert fir.sum() == pytest.approx(1)
    np.testing.assert_allclose(fir, fir.T, atol=1e-15)
    times = (np.arange(24) - 11.5) / 64
    frequencies = np.linspace(0, 12, 7)
    x, y = np.meshgrid(times, times)
    straight = np.exp(2j * np.pi * frequencies[:, None, None] * x)
    slanted = np.exp(2j * np.pi * frequencies[:, None, None] * (x + y) / np.sqrt(2))
    amplitudes = [np.abs((wave * fir).sum(axis=(1, 2))) for wave in (straight, slanted)]
    np.testing.assert_allclose(*amplitudes, atol=0.02)
    separable = design_low_pass(24, cutoff=8, width=12, rate=64)
    differs = np.abs((slanted * np.outer(separable, separable)).sum(axis=(1, 2)))
    assert np.abs(differs - amplitudes[0]).max() > 0.1
