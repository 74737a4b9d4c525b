"""What is told of bundles and checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from stylert.export.checkpoints import Checkpoint, read_checkpoint
from stylert.export.network_facts import read_facts, tell_rows
from stylert.runtime.errors import BundleError


def test_a_bundle(bundle: Path) -> None:
    facts = json.loads(json.dumps(read_facts(bundle)))
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    assert facts | manifest == facts
    assert facts["directions"][1] == {"name": "sefa_coarse", "count": 20, "layers": [0, 1, 2]}
    rows = dict(tell_rows(bundle, facts))
    assert rows["latents"] == "z 64, w 64, 8 ws"
    assert rows["layers of ws"] == "coarse 0-2, middle 3-7"
    assert rows["default truncation"] == "none (psi 1)"
    assert rows["directions sefa_coarse_0 to _19"] == "for layers 0-2"
    assert rows["directions sefa_middle_0 to _19"] == "for layers 3-7"
    assert rows["parameters"] == "81,899"
    assert rows["synthesis.onnx"].endswith(" kB")
    assert rows["parity at export"] == "passed"
    assert "motion" not in rows


def test_a_bundle_that_was_not_compared(tiny_bundle: Path) -> None:
    facts = read_facts(tiny_bundle) | {"parity": None}
    facts["half"] = {"half_blocks": [], "kept_fp32": ["b8", "b16"]}
    rows = dict(tell_rows(tiny_bundle, facts))
    assert rows["parity at export"] == "not compared"
    assert rows["half-precision graph"] == "none"
    assert rows["kept in float32"] == "b8, b16 (could overflow)"


def test_a_checkpoint(goldens: Path) -> None:
    facts = read_checkpoint(goldens / "sg3-r-64.pkl").describe()
    rows = dict(tell_rows("sg3-r-64.pkl", json.loads(json.dumps(facts))))
    assert rows["network"].startswith("StyleGAN3-R")
    assert rows["layers of ws"] == "coarse 0-2, middle 3-6, fine 7-15"
    assert rows["motion"] == "translate and rotate"
    assert rows["network of the file"] == "G_ema"
    assert "exported" not in rows


def test_a_truncation_with_its_cutoff(goldens: Path) -> None:
    facts = read_checkpoint(goldens / "sg1-tf-256.pkl").describe()
    assert dict(tell_rows("x", facts))["default truncation"] == "psi 0.7 in layers 0-7"


def test_every_note_is_told(tiny: Checkpoint) -> None:
    facts = replace(tiny, notes=("one", "two")).describe()
    assert [value for key, value in tell_rows("x", facts) if key == "note"] == ["one", "two"]


def test_names_of_classes_are_told(tiny_bundle: Path) -> None:
    facts = read_facts(tiny_bundle)
    assert "names of classes" not in dict(tell_rows("x", facts))
    assert (
        dict(tell_rows("x", facts | {"classes": ["ant", "bee"]}))["names of classes"] == "ant, bee"
    )
    many = dict(tell_rows("x", facts | {"classes": list(map(str, range(1000)))}))
    assert many["names of classes"].endswith("18, 19, ...")


@pytest.mark.parametrize("key", ["family", "config", "statistics", "provenance", "half", "files"])
def test_a_manifest_that_tells_nonsense(
    tiny_bundle: Path, refuses: Callable[..., AbstractContextManager[None]], key: str
) -> None:
    facts = read_facts(tiny_bundle) | {key: 7}
    with refuses("manifest.json is damaged (", error=BundleError):
        tell_rows(tiny_bundle, facts)
