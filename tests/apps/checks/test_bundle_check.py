"""What a bundle proves without its checkpoint."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from stylert.apps.checks import bundle_check
from stylert.apps.checks.bundle_check import check_bundle
from stylert.runtime.errors import BundleError
from stylert.runtime.proof.parity import Difference


def test_a_good_bundle(bundle: Path) -> None:
    check = check_bundle(bundle, threads=1)
    assert check.failures() == ()
    assert check.choice.startswith("onnxruntime on cpu")
    assert list(check.batch_differences) == ["fp32", "fp16"]
    assert check.difference_at_export is not None
    found = json.loads(json.dumps(check.to_json()))
    assert found["batch_difference"]["fp32"]["finite"] is True
    assert found["parity_at_export"]["passed"] is True


def test_images_that_depend_on_the_batch(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        bundle_check, "batch_difference", lambda generator: Difference(0.5, 0.5, -math.inf, True)
    )
    assert check_bundle(bundle).failures() == (
        f"{bundle}: fp32 images depend on the batch: 0.5.",
        f"{bundle}: fp16 images depend on the batch: 0.5.",
    )


def test_a_changed_file(
    bundle_copy: Path, refuses: Callable[..., AbstractContextManager[None]]
) -> None:
    data = bytearray((bundle_copy / "synthesis.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (bundle_copy / "synthesis.onnx").write_bytes(data)
    with refuses("synthesis.onnx was changed", error=BundleError):
        check_bundle(bundle_copy)
