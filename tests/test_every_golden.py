"""Every checkpoint of the goldens, from its file to an engine, by the commands that users run.

That a picture depends on no other of its batch is what `verify` finds.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from stylert import cli
from stylert.export.checkpoints import read_checkpoint
from stylert.export.families import build_model
from stylert.runtime.backends.tensorrt.plans import list_plans
from stylert.runtime.bundle import Bundle
from stylert.runtime.generator import Generator
from stylert.runtime.proof.parity import TOLERANCES, compare

GOLDENS = Path(__file__).parent / "goldens"
# `verify` proves a network as `export` just has: one of each family and container, and of classes.
PROVEN_AGAIN = ("sg1-tf-32", "sg2-cond-32", "sg2-hot-64", "sg2-tf-32", "rosinality-32")
CHECKPOINTS = {path.stem: path for path in sorted(GOLDENS.glob("*.p*")) if path.suffix != ".npz"}


def test_none_was_forgotten() -> None:
    assert set(CHECKPOINTS) == {path.stem for path in GOLDENS.glob("*.json")}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_from_checkpoint_to_engine(
    name: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    assert_same: Callable[..., None],
    share_bundle: Callable[[str, Path], None],
) -> None:
    checkpoint, bundle, images = CHECKPOINTS[name], tmp_path / "bundle", tmp_path / "images"
    label = ["--class", "1"] if "c" in np.load(GOLDENS / f"{name}.npz") else []
    proven = ["--checkpoint", checkpoint, "--seeds", "1"] if name in PROVEN_AGAIN else []
    for command in (
        ["export", checkpoint, "--out", bundle, "--verify-seeds", "1"],
        ["verify", bundle, *proven],
        ["generate", bundle, "--seeds", "0-1", "--out", images, *label],
        ["build-engine", bundle, "--compiler", "tensorrt-rtx", "--sm", "89", "--batch", "1"],
    ):
        with pytest.raises(SystemExit) as ended:
            cli.main([str(word) for word in command])
        assert not ended.value.code, capsys.readouterr().err
        if command[0] == "export":
            share_bundle(name, bundle)
    assert len(list(images.glob("*.png"))) == 2
    assert len(list((bundle / "engines").glob("*.plan"))) == 2
    _computes_in_half(bundle)
    _draws_what_the_official_code_draws(bundle, GOLDENS / name, assert_same)
    _writes_what_it_draws(bundle, images / "seed0001.png", class_idx=1 if label else None)


def _computes_in_half(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    (plan,) = (plan for plan in list_plans(opened) if plan.graph != "mapping")
    assert plan.census["convolutions"]["HALF"] >= len(opened.manifest["half"]["half_blocks"])


def _draws_what_the_official_code_draws(
    bundle: Path, golden: Path, assert_same: Callable[..., None]
) -> None:
    arrays = dict(np.load(golden.with_suffix(".npz")))
    facts = json.loads(golden.with_suffix(".json").read_text())
    exact = _Exact(CHECKPOINTS[golden.name], arrays)
    for precision in ("fp32", "fp16"):
        with Generator.open(bundle, provider="cpu", precision=precision) as generator:

            def close(key: str, got: Any, precision: str = precision) -> None:
                if precision == "fp32":
                    return assert_same(arrays[key], got, lambda: exact[key])
                difference = compare(arrays[key], got)
                assert difference.within(TOLERANCES[precision]), (precision, key, difference)

            truncations = {
                "ws_psi1": {"truncation_psi": 1.0},
                "ws_psi07": {"truncation_psi": 0.7},
                "ws_psi07_cut": {
                    "truncation_psi": 0.7,
                    "truncation_cutoff": facts["truncation_cutoff"],
                },
            }
            draws: dict[str, tuple[str, dict[str, Any]]] = {"img_const": ("ws_psi1", {})}
            if precision == "fp32":  # the export has proven all of it in half precision
                draws["img_psi07"] = ("ws_psi07_cut", {})
                if generator.bundle.noise_inputs and "img_none" in arrays:
                    draws["img_none"] = ("ws_psi1", {"noise_mode": "none"})
                if "user_transform" in arrays:
                    draws["img_transform"] = ("ws_psi1", {"transform": arrays["user_transform"]})
                if np.allclose(generator.w_avg, arrays["w_avg"], rtol=0, atol=1e-5):
                    for key, options in truncations.items():
                        close(key, generator.map(arrays["z"], arrays.get("c"), **options))
                else:  # the file has no average; ours is that of other latents than the golden's
                    assert "w_avg_note" in facts
            for key, (styles, options) in draws.items():
                ws = arrays[styles][: len(arrays[key])]
                close(key, generator.synthesize(ws, output="img", **options))


class _Exact(dict[str, np.ndarray]):
    """The golden's arrays in float64, drawn when they are needed."""

    def __init__(self, file: Path, arrays: dict[str, np.ndarray]) -> None:
        self.file = file
        self.arrays = {name: torch.from_numpy(array).double() for name, array in arrays.items()}

    def __missing__(self, key: str) -> np.ndarray:
        model = build_model(read_checkpoint(self.file)).to(dtype=torch.float64)
        ws = self.arrays["ws_psi07_cut" if key == "img_psi07" else "ws_psi1"]
        options: dict[str, Any] = {"noise": "none"} if key == "img_none" else {}
        if key == "img_transform":
            options["transform"] = self.arrays["user_transform"]
        self[key] = model.synthesis(ws[: len(self.arrays[key])], **options).numpy()
        return self[key]


def _writes_what_it_draws(bundle: Path, file: Path, **options: Any) -> None:
    with Generator.open(bundle, provider="cpu") as generator, Image.open(file) as image:
        drawn = generator.generate([1], **options)[0]
        assert np.array_equal(np.asarray(image), drawn[..., 0] if drawn.shape[-1] == 1 else drawn)
