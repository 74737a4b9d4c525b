"""Pictures of a site: those of the runtime, whatever is set, in every family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stylert
from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import Checkpoint

# One of each family, and what its page is asked for besides the seed.
FAMILIES = {
    "sg1-tf-32": {"noise": 5},
    "sg2-cond-32": {"class_idx": 3, "noise": 5},
    "sg3-t-64": {"motion": (0.2, -0.1, 30)},
    "sg2-gray-64": {},
    "field/luci16": {"noise": 5},
    "field/xl-cond": {"class_idx": 1},
}
PSI = 0.75


def assert_same(got: np.ndarray, expected: np.ndarray) -> None:
    """Asserts that two pictures [H, W, C] are the same but for the last bit."""
    expected = (
        np.broadcast_to(expected, (*expected.shape[:2], 3)) if expected.ndim == 3 else expected
    )
    off = np.abs(got.astype(int) - expected[..., :3].astype(int))
    assert off.max() <= 1, off.max()


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family(
    name: str, bundle_of: Callable[[str], Path], visit: Callable[..., Any]
) -> None:
    bundle = bundle_of(name)
    asked, options, hash = FAMILIES[name], {}, f"seed=7&psi={PSI}"
    if "class_idx" in asked:
        options["class_idx"] = asked["class_idx"]
        hash += f"&class_idx={asked['class_idx']}"
    drawing: dict[str, Any] = {}
    with stylert.open(bundle, backend="onnxruntime", provider="cpu") as generator:
        draw = generator.generate
        assert_same(visit(bundle, hash).pixels(), draw([7], truncation_psi=PSI, **options)[0])
        if "noise" in asked:
            drawing |= {"noise_mode": "seeded", "noise_seed": asked["noise"]}
            hash += f"&noise_mode=seeded&noise_seed={asked['noise']}"
        if "motion" in asked:
            x, y, rotate = asked["motion"]
            drawing |= {"translate": (x, y), "rotate": rotate}
            hash += f"&x={x}&y={y}&rotate={rotate}"
        expected = draw([7], truncation_psi=PSI, truncation_cutoff=2, **options, **drawing)[0]
        assert_same(visit(bundle, f"{hash}&cutoff=2").pixels(), expected)
        ws = generator.styles_between([3, 4, 5], 0.8, truncation_psi=PSI, **options)
        expected = generator.synthesize(ws, **drawing)[0]
        assert_same(visit(bundle, f"{hash}&keyframes=3,4,5&t=0.4").pixels(), expected)


def test_a_bundle_with_style_space(
    tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory, visit: Callable[..., Any]
) -> None:
    """The page moves no styles, and draws them as they are."""
    bundle = tmp_path_factory.mktemp("style-space") / "bundle"
    export_bundle(tiny, bundle, verify_seeds=0, half="none", style_space=True)
    with stylert.open(bundle, backend="onnxruntime", provider="cpu") as generator:
        expected = generator.generate([7], truncation_psi=PSI)[0]
    assert_same(visit(bundle, f"seed=7&psi={PSI}").pixels(), expected)
