"""Files as users bring them: each opens, and its bundle draws what the code that wrote it draws."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import read_checkpoint
from stylert.runtime.bundle_facts import reference_error
from stylert.runtime.generator import Generator
from stylert.runtime.parity import TOLERANCES, compare, judge

FIELD = Path(__file__).parent / "goldens" / "field"
FILES = {path.stem: json.loads(path.read_text())["file"] for path in sorted(FIELD.glob("*.json"))}
MOST = 1e-4


def test_they_are_small_and_none_is_forgotten() -> None:
    files = [path for path in FIELD.iterdir() if path.suffix not in (".json", ".npz")]
    assert {path.name for path in files} == set(FILES.values())
    assert max(path.stat().st_size for path in files) <= 300_000


@pytest.mark.parametrize("name", FILES)
def test_draws_what_its_source_draws(name: str, tmp_path: Path) -> None:
    with np.load(FIELD / f"{name}.npz") as file:
        arrays: dict[str, Any] = dict(file)
    export_bundle(read_checkpoint(FIELD / FILES[name]), tmp_path / "bundle", verify_seeds=2)
    labels = arrays["c"] if arrays.get("c", np.zeros((1, 0))).shape[1] else None
    for precision in ("fp32", "fp16"):
        with Generator.open(tmp_path / "bundle", provider="cpu", precision=precision) as opened:
            ws = opened.map(arrays["z"], labels, truncation_psi=float(arrays.get("psi", 1)))
            if "ws" in arrays:
                assert np.abs(ws - arrays["ws"]).max() <= MOST
                ws = arrays["ws"]
            images = opened.synthesize(ws, output="img")
            difference = compare(arrays["img"], images)
            limit = TOLERANCES[precision]
            assert difference.max_abs <= MOST if precision == "fp32" else difference.within(limit)
            alone = opened.synthesize(ws[1:2], output="img")
            error = reference_error(opened.bundle)
            assert judge(compare(images[1:2], alone), precision, error), (precision, "batch")
