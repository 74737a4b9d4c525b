"""One file for evaluation tools: the same pictures, as bytes [N, C, H, W], from z and labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from stylert.export.one_file import write_one_file
from stylert.runtime.generator import Generator
from stylert.runtime.latents import make_z


@pytest.mark.parametrize("name", ["sg2-cond-32", "sg3-t-64", "sg1-tf-32", "field/luci16"])
@pytest.mark.parametrize(("psi", "noise"), [(None, "const"), (0.5, "none")])
def test_it_draws_what_the_bundle_draws(
    name: str,
    psi: float | None,
    noise: str,
    bundle_of: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    bundle = bundle_of(name)
    write_one_file(bundle, tmp_path / "one.onnx", truncation_psi=psi, noise_mode=noise)
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(str(tmp_path / "one.onnx"), providers=providers)
    with Generator.open(bundle, backend="onnxruntime", provider="cpu") as generator:
        spec = generator.spec
        seeds, options = [3, 4, 5], dict[str, Any]()
        feeds: dict[str, np.ndarray] = {"z": make_z(seeds, spec.z_dim)}
        if spec.c_dim:
            feeds["labels"] = np.array([2, 0, 1])
            options["class_idx"] = feeds["labels"].tolist()
        if generator.bundle.noise_inputs:
            options["noise_mode"] = noise
        drawn = generator.generate(seeds, truncation_psi=psi, **options)
    assert [(given.name, given.type) for given in session.get_inputs()] == [
        ("z", "tensor(float)"),
        *([("labels", "tensor(int64)")] if spec.c_dim else []),
    ]
    (got,) = session.run(None, feeds)
    assert (got.dtype, got.shape) == (np.uint8, drawn.transpose(0, 3, 1, 2).shape)
    assert np.abs(got.transpose(0, 2, 3, 1).astype(int) - drawn).max() <= 1


@pytest.mark.parametrize("label", [5, 2**40])
def test_a_label_that_is_no_class_is_an_error(
    bundle_of: Callable[[str], Path], tmp_path: Path, label: int
) -> None:
    """OneHot alone would draw a picture of no class."""
    write_one_file(bundle_of("sg2-cond-32"), tmp_path / "one.onnx")
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(str(tmp_path / "one.onnx"), providers=providers)
    z = make_z([1, 2], session.get_inputs()[0].shape[1])
    with pytest.raises(Exception, match="out of data bounds"):
        session.run(None, {"z": z, "labels": np.array([0, label])})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"truncation_psi": 1e300}, "truncation_psi: got NaN or infinity"),
        ({"noise_mode": "seeded"}, "noise_mode: got 'seeded', expected const or none."),
        ({"truncation_psi": float("nan")}, "truncation_psi: got nan, expected a number."),
    ],
)
def test_what_is_refused(
    bundle: Path, tmp_path: Path, refuses: Any, options: dict[str, Any], words: str
) -> None:
    with refuses(words):
        write_one_file(bundle, tmp_path / "one.onnx", **options)
    with refuses("expected the name of an .onnx file"):
        write_one_file(bundle, tmp_path / "one.pt")
    (tmp_path / "one.onnx").write_bytes(b"precious")
    with refuses("exists. Pass force=True"):
        write_one_file(bundle, tmp_path / "one.onnx")
    assert (tmp_path / "one.onnx").read_bytes() == b"precious"
