"""INT8 in OpenVINO: on processors with wide integer products, and on others."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.runtime.backends.openvino import session
from stylert.runtime.backends.openvino.compiled_graph import CompiledGraph
from stylert.runtime.backends.processor import multiplies_bytes
from stylert.runtime.errors import StylertWarning
from stylert.runtime.generator import Generator

SEEDS = range(5)  # more than a batch
DRAWING: dict[str, Any] = {"truncation_psi": 0.7, "output": "img"}


@pytest.fixture(scope="module")
def expected(int8_bundle: Path) -> np.ndarray:
    """The float32 pictures; what is chosen by itself draws them, whatever the bundle has."""
    with Generator.open(int8_bundle) as generator:
        assert generator.describe()["precision"] == "fp32"
        return generator.generate(SEEDS, **DRAWING)


def measure_psnr(expected: np.ndarray, got: np.ndarray) -> float:
    """Of images that are clipped to [-1, 1]."""
    error = np.square(np.clip(expected, -1, 1) - np.clip(got, -1, 1)).mean()
    return 10 * math.log10(4 / error)


@pytest.mark.parametrize("backend", ["openvino", "auto"])
def test_with_wide_products(
    int8_bundle: Path, expected: np.ndarray, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    monkeypatch.setattr(session, "multiplies_bytes", lambda: True)
    with Generator.open(int8_bundle, backend=backend, precision="int8") as generator:
        facts = generator.describe()
        assert (facts["backend"], facts["precision"]) == ("openvino", "int8")
        assert "largest_weight" not in facts
        psnr = measure_psnr(expected, generator.generate(SEEDS, **DRAWING))
    assert 30 < psnr < 80  # and it is not the float32 graph


def test_without_them_weights_are_small_and_that_is_told(
    int8_bundle: Path, expected: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "multiplies_bytes", lambda: False)
    with pytest.warns(
        StylertWarning, match="no VNNI.* at most 63: pictures are [3-7].* dB"
    ) as told:
        generator = Generator.open(int8_bundle, backend="openvino", precision="int8")
    assert len(told) == 1
    assert "\n" not in str(told[0].message)
    with generator:
        assert generator.describe()["largest_weight"] == 63
        psnr = measure_psnr(expected, generator.generate(SEEDS, **DRAWING))
    assert 30 < psnr < 80


def test_float32_is_drawn_as_ever_without_wide_products(
    int8_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laid_out: list[Any] = []
    opened = CompiledGraph.__init__

    def watch(self: CompiledGraph, *arguments: Any, largest: int | None = None) -> None:
        laid_out.append(largest)
        opened(self, *arguments, largest=largest)

    monkeypatch.setattr(session, "multiplies_bytes", lambda: False)
    monkeypatch.setattr(CompiledGraph, "__init__", watch)
    with Generator.open(int8_bundle, backend="openvino", precision="fp32"):
        assert laid_out == [None, None]


@pytest.mark.parametrize(
    ("cpuinfo", "wide"),
    [
        ("flags\t\t: fpu avx2 avx512_vnni\n", True),
        ("flags : avx2 avx_vnni\nflags : avx2 avx_vnni\n", True),
        ("Features : fp asimd asimddp\n", True),
        ("flags : avx2 avx512f\n", False),
        ("flags : avx_vnni\nflags : avx2\n", False),  # its cores are of two kinds
        ("", False),
    ],
)
def test_the_flags_of_the_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cpuinfo: str, wide: bool
) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(cpuinfo)
    monkeypatch.setattr("stylert.runtime.backends.processor._CPUINFO", path)
    assert multiplies_bytes() is wide


def test_a_device_of_another_kind_is_not_asked_for_flags(
    int8_bundle: Path, refuses: Callable[..., Any]
) -> None:
    from stylert.runtime.errors import EngineError

    with refuses("device: got 'npu'", error=EngineError):
        Generator.open(int8_bundle, backend="openvino", device="npu", precision="int8")
