"""Every file that people brought, from the file to an engine, by the commands that users run.

`goldens/field/` holds them, and what the code that wrote them draws. `verify` reads and proves a
checkpoint as `export` does, and is run for the goldens and for one StyleGAN3 of these. The graph of
half precision and its engine follow from the architecture and from what was read, which float32
shows: they are made of the first file of each architecture.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert import cli
from stylert.export.checkpoints import read_checkpoint
from stylert.runtime.bundle import Bundle
from stylert.runtime.generator import Generator
from stylert.runtime.proof.bundle_facts import reference_error
from stylert.runtime.proof.parity import TOLERANCES, compare, judge

FIELD = Path(__file__).parent / "goldens" / "field"
MOST = 300_000  # bytes of a file
# Those whose source truncates: what others draw is tested with their family.
NAMES = sorted(path.stem for path in FIELD.glob("*.npz") if "psi" in np.load(path))


def test_there_are_some() -> None:
    files = {path.name for path in FIELD.iterdir() if path.suffix not in (".json", ".npz")}
    assert files == {json.loads(path.read_text())["file"] for path in FIELD.glob("*.json")}
    assert {"human-sg3t", "xl-cond", "xl-super-uncond", "xl-uncond"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_from_file_to_engine(
    name: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    assert_same: Callable[..., None],
    share_bundle: Callable[[str, Path], None],
) -> None:
    facts = json.loads((FIELD / f"{name}.json").read_text())
    checkpoint, bundle, images = FIELD / facts["file"], tmp_path / "bundle", tmp_path / "images"
    assert checkpoint.stat().st_size <= MOST
    arrays = dict(np.load(FIELD / f"{name}.npz"))
    label = ["--class", "1"] if "c" in arrays and arrays["c"].shape[1] else []

    def run(*command: str | Path) -> None:
        with pytest.raises(SystemExit) as ended:
            cli.main([str(word) for word in command])
        assert not ended.value.code, capsys.readouterr().err

    first = _is_the_first_of_its_architecture(checkpoint)
    half = "native" if first else "none"
    run("export", checkpoint, "--out", bundle, "--verify-seeds", "1", "--half", half)
    if first:
        share_bundle(f"field/{name}", bundle)
    if name == "human-sg3t":
        run("verify", bundle, "--checkpoint", checkpoint, "--seeds", "1")
    run("generate", bundle, "--seeds", "0-1", "--out", images, *label)
    assert len(list(images.glob("*.png"))) == 2
    if first:
        run("build-engine", bundle, "--compiler", "tensorrt-rtx", "--sm", "89", "--batch", "1")
        assert len(list((bundle / "engines").glob("*.plan"))) == 2
    _draws_what_its_source_draws(bundle, arrays, assert_same)


@cache
def _architectures() -> set[str]:
    """Those that an engine was built of."""
    return set()


def _is_the_first_of_its_architecture(checkpoint: Path) -> bool:
    architecture = repr(read_checkpoint(checkpoint).config)
    known = architecture in _architectures()
    _architectures().add(architecture)
    return not known


def _draws_what_its_source_draws(
    bundle: Path, arrays: dict[str, Any], assert_same: Callable[..., None]
) -> None:
    psi, z = float(arrays["psi"]), arrays["z"].astype(np.float32)
    for precision in Bundle.open(bundle).precisions:
        with Generator.open(bundle, provider="cpu", precision=precision) as generator:
            c = arrays["c"] if generator.spec.c_dim else None
            ws = generator.map(z, c, truncation_psi=psi)
            if "ws" in arrays:
                assert_same(arrays["ws"], ws)
                ws = arrays["ws"]
            img = generator.synthesize(ws, output="img")
            if precision == "fp32":
                assert_same(arrays["img"], img)
            else:
                difference = compare(arrays["img"], img)
                assert difference.within(TOLERANCES[precision]), difference
            one = generator.synthesize(ws[1:2], output="img")
            error = reference_error(generator.bundle)
            assert judge(compare(one, img[1:2]), precision, error), (precision, "batch")
