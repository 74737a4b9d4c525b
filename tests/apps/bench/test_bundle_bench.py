"""The benchmark of a bundle: which backends, and that they are timed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.apps.bench import BenchResult, bundle_bench, run_bench
from stylert.apps.bench.bundle_bench import (
    bench_bundle,
    bundle_of,
    list_candidates,
    parse_backends,
)
from stylert.apps.bench.candidates import GEMM, GEMM_SHAPE, Candidate
from stylert.apps.bench.worker import Worker
from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import Checkpoint
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import BundleError, MissingExtra
from stylert.runtime.proof.bundle_facts import multiply_adds

Refuses = Callable[..., AbstractContextManager[None]]


def test_backends_that_were_asked_for() -> None:
    text = "torch-eager-cuda,onnxruntime"
    assert parse_backends(text, with_checkpoint=True) == ["torch-eager-cuda", "onnxruntime"]


def test_backends_that_the_files_at_hand_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_backends(None, with_checkpoint=False) == ["onnxruntime", "openvino"]
    names = ["torch-eager", "torch-compile", "onnxruntime"]
    assert parse_backends(None, with_checkpoint=True) == [*names, "openvino"]
    monkeypatch.setattr(bundle_bench, "openvino_distribution", lambda: None)
    assert parse_backends(None, with_checkpoint=False) == ["onnxruntime"]
    assert parse_backends(None, with_checkpoint=True) == names


def test_backends_that_are_refused(refuses: Refuses, monkeypatch: pytest.MonkeyPatch) -> None:
    with refuses("backends: got 'tpu', expected onnxruntime, "):
        parse_backends("onnxruntime,tpu", with_checkpoint=True)
    with refuses("backends: got 'torch-eager', which needs the checkpoint. Pass checkpoint=FILE"):
        parse_backends("torch-eager", with_checkpoint=False)

    def missing(*modules: str, extra: str) -> None:
        raise MissingExtra(f"{modules} of {extra}")

    monkeypatch.setattr(bundle_bench, "need", missing)
    assert parse_backends("onnxruntime", with_checkpoint=True) == ["onnxruntime"]
    with refuses("('torch',) of export", error=MissingExtra):
        parse_backends("torch-eager", with_checkpoint=True)


@pytest.mark.usefixtures("warm_python")
def test_int8_is_timed_and_not_judged(int8_bundle: Path) -> None:
    known = list_candidates(int8_bundle, checkpoint=None, network=None, max_batch=1)
    result = run_bench(
        [known["onnxruntime"], known["int8"]],
        batches=[1],
        macs_per_image=multiply_adds(Bundle.open(int8_bundle)),
        reference="onnxruntime",
        threads=1,
        rounds=1,
    )
    (row,) = [row for row in result.rows() if row.candidate == "int8"]
    assert row.difference is not None
    assert 1e-4 < row.difference.max_abs < 1
    assert row.passed is None
    description = result.candidate("int8").description
    assert (description["backend"], description["precision"]) == ("openvino", "int8")
    assert (result.failures(), result.parity_failures()) == ({}, ())


@pytest.mark.usefixtures("warm_python")
def test_the_roofline_is_the_product_of_its_size(tmp_path: Path) -> None:
    M, _, N = GEMM_SHAPE
    worker = Worker(GEMM, threads=1, log=tmp_path / "log")
    try:
        description, _ = worker.open(batch=2, timeout=60)
        worker.ask("finish", image=tmp_path / "image.npy", timeout=60)
    finally:
        worker.close()
    assert (description["backend"], description["threads"]) == ("numpy", 1)
    assert np.load(tmp_path / "image.npy").shape == (2, 1, M, N)


@pytest.mark.usefixtures("warm_python")
def test_a_bundle_is_timed(tiny_bundle: Path) -> None:
    told: list[tuple[str, float]] = []
    result = bench_bundle(
        tiny_bundle,
        ["onnxruntime"],
        batches=[1],
        threads=1,
        rounds=1,
        progress=lambda message, share: told.append((message, share)),
    )
    assert isinstance(result, BenchResult)
    assert result.failures() == {}
    assert result.subject == "stylegan2 8x8"
    assert result.macs_per_image == multiply_adds(Bundle.open(tiny_bundle))
    assert (result.settings["rounds"], result.settings["threads"]) == (1, 1)
    assert result.device_gemm is None
    assert told[-1] == ("done", 1.0)


@pytest.mark.parametrize("weights", ["fp32", "int16", "int8"])
def test_pytorch_draws_with_the_weights_that_the_bundle_stores(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: str
) -> None:
    export_bundle(tiny, tmp_path / "bundle", weights=weights, verify_seeds=0)
    given: list[Candidate] = []
    monkeypatch.setattr(bundle_bench, "run_bench", lambda candidates, **_: given.extend(candidates))
    bench_bundle(tmp_path / "bundle", ["torch-eager", "onnxruntime"], checkpoint="tiny.pkl")
    assert [candidate.options.get("weights") for candidate in given] == [weights, None]


def test_a_class_is_one_of_the_bundle(
    tiny_bundle: Path, named_bundle: Path, refuses: Refuses, monkeypatch: pytest.MonkeyPatch
) -> None:
    with refuses("class_idx: got 1, expected None"):
        bench_bundle(tiny_bundle, ["onnxruntime"], class_idx=1)
    with refuses("class_idx: got 'cow', expected 'ant', 'bee'"):
        bench_bundle(named_bundle, ["onnxruntime"], class_idx="cow")
    timed: list[Any] = []
    monkeypatch.setattr(
        bundle_bench, "run_bench", lambda candidates, **how: timed.extend(candidates)
    )
    bench_bundle(named_bundle, ["onnxruntime"], class_idx="cat")
    bench_bundle(named_bundle, ["onnxruntime"])
    assert [candidate.options.get("class_idx", "by seed") for candidate in timed] == [2, "by seed"]


def test_no_bundle_is_timed(tmp_path: Path, refuses: Refuses) -> None:
    with refuses("No bundle at ", error=BundleError):
        bench_bundle(tmp_path / "nothing", ["onnxruntime"])


def test_a_bundle_is_made_where_there_is_none(tiny: Checkpoint) -> None:
    with bundle_of(tiny) as path:
        assert Bundle.open(path).manifest["parity"] is None
    assert not path.parent.exists()


def test_the_bundle_has_to_be_the_checkpoints(
    tiny: Checkpoint,
    tiny_bundle: Path,
    make_checkpoint: Callable[..., Checkpoint],
    refuses: Refuses,
) -> None:
    said: list[str] = []
    with bundle_of(tiny, tiny_bundle, say=said.append) as path:
        assert path == tiny_bundle
    assert said == []
    other = replace(tiny, source=replace(tiny.source, file="b.pkl", sha256="0" * 64))
    with bundle_of(other, tiny_bundle, say=said.append):
        assert said == ["b.pkl is not the file that was exported (untrained:small)"]
    larger = make_checkpoint()
    refused = refuses("it is the bundle of another checkpoint", error=BundleError)
    with refused, bundle_of(larger, tiny_bundle):
        pass
