"""OpenVINO draws what ONNX Runtime draws: every family, every kind of graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import stylert

NAMES = (
    *("sg1-tf-32", "sg2-orig-32", "sg2-resnet-32", "sg2-gray-64", "sg2-cond-32", "sg2-hot-64"),
    *("field/sg3r-decoder", "field/human-sg3t"),  # of 64 pixels each takes 3 s
    *("field/xl-cond", "field/xl-super-uncond", "field/luci16attn"),
)
DEMO = Path(stylert.__file__).parent / "apps" / "demo" / "bundle"


@pytest.mark.parametrize("name", NAMES)
def test_draws_what_onnxruntime_draws(
    name: str, bundle_of: Callable[[str], Path], assert_backend_draws: Callable[..., None]
) -> None:
    assert_backend_draws(bundle_of(name), most=1e-5, backend="openvino")


def test_where_float32_itself_is_far_off(
    bundle_of: Callable[[str], Path], assert_backend_draws: Callable[..., None]
) -> None:
    """StyleGAN 1 of 256 pixels: the reference is 1e-4 from float64."""
    assert_backend_draws(bundle_of("sg1-tf-256"), most=1e-3, backend="openvino")


def test_weights_that_are_stored_as_integers(assert_backend_draws: Callable[..., None]) -> None:
    assert_backend_draws(DEMO, most=1e-5, backend="openvino")
