"""The proof itself: it covers what it says, and it can fail."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stylert.export.bundle_writer import export_bundle, parity_error
from stylert.export.checkpoints import Checkpoint
from stylert.export.checkpoints.families.stylegan3_design import StyleGAN3Design
from stylert.export.checkpoints.untrained import untrained
from stylert.export.parity import ParityReport, ParityRow, check_parity
from stylert.export.yardstick import Yardstick
from stylert.runtime.generator import Generator
from stylert.runtime.graph_inputs import GraphInputs
from stylert.runtime.parity import Difference

MakeCheckpoint = Callable[..., Checkpoint]


@pytest.fixture(scope="module")
def generator(tiny_bundle: Path) -> Iterator[Generator]:
    with Generator.open(tiny_bundle, threads=1) as generator:
        yield generator


def perturbed(checkpoint: Checkpoint, tensor: str, change: float) -> Checkpoint:
    array = checkpoint.tensors[tensor] + np.float32(change)
    return replace(checkpoint, tensors={**checkpoint.tensors, tensor: np.asarray(array)})


def failed(report: ParityReport) -> set[tuple[str, str]]:
    assert report.passed == all(row.passed for row in report.rows)
    return {(row.output, row.noise_mode) for row in report.rows if not row.passed}


def test_covers_both_psis_batches_and_all_noise_modes(
    tiny: Checkpoint, generator: Generator
) -> None:
    report = check_parity(tiny, generator, seeds=range(5))
    assert report.passed
    settings = [(r.output, r.truncation_psi, r.noise_mode, r.batch) for r in report.rows]
    modes = ("const", "none", "seeded")
    assert sorted(settings) == sorted(
        [("ws", psi, "-", batch) for psi in (1, 0.7) for batch in (1, 4)]
        + [("img", psi, mode, batch) for psi in (1, 0.7) for mode in modes for batch in (1, 4)]
        + [("image", psi, mode, 4) for psi in (1, 0.7) for mode in modes]
    )
    assert {row.images for row in report.rows if row.output != "image"} == {5}


def test_covers_networks_without_noise(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(use_noise=False)
    report = export_bundle(checkpoint, tmp_path / "bundle", verify_seeds=1)
    assert report is not None
    assert {row.noise_mode for row in report.rows} == {"-", "const"}


@pytest.fixture(scope="module")
def moving() -> Checkpoint:
    """A StyleGAN3 of 32x32 pixels."""
    design = StyleGAN3Design(img_resolution=32, channel_max=6, num_layers=4, margin_size=2)
    config = design.config(z_dim=8, c_dim=0, w_dim=8, mapping_layers=2, mapping_features=8)
    return untrained("small", config=config)


def test_covers_the_motion_of_stylegan3(
    moving: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "bundle"
    export_bundle(moving, out, verify_seeds=0, half="none")
    with Generator.open(out, threads=1) as generator:
        report = check_parity(moving, generator, seeds=range(5))
        assert report.passed
        settings = [(r.output, r.truncation_psi, r.motion, r.batch) for r in report.rows]
        motions = ("none", "seeded")
        assert sorted(settings) == sorted(
            [("ws", psi, "-", batch) for psi in (1, 0.7) for batch in (1, 4)]
            + [("img", psi, m, batch) for psi in (1, 0.7) for m in motions for batch in (1, 4)]
            + [("image", psi, m, 4) for psi in (1, 0.7) for m in motions]
        )
        assert {row.noise_mode for row in report.rows} == {"-"}

        matrices = GraphInputs.transforms
        monkeypatch.setattr(  # a runtime that moves nothing
            GraphInputs,
            "transforms",
            lambda self, x, y, z, batch: matrices(self, None, None, None, batch=batch),
        )
        wrong = check_parity(moving, generator, seeds=range(2))
        assert {row.motion for row in wrong.rows if not row.passed} == {"seeded"}


def test_settings_are_really_used(
    tiny: Checkpoint, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[Any, ...]] = []
    generate = Generator.generate

    def recorded(self: Generator, seeds: Sequence[int], **options: Any) -> np.ndarray:
        images = generate(self, seeds, **options)
        setting = (options["output"], options["truncation_psi"], options["noise_mode"], len(seeds))
        drawn.append((*setting, images.tobytes()))
        return images

    monkeypatch.setattr(Generator, "generate", recorded)
    check_parity(tiny, generator, seeds=range(4))
    fours = [entry for entry in drawn if entry[0] == "img" and entry[3] == 4]
    assert len({entry[:4] for entry in fours}) == len({entry[4] for entry in fours}) == 6
    assert sum(entry[0] == "img" and entry[3] == 1 for entry in drawn) == 6 * 4


def test_finds_a_changed_bias(tiny: Checkpoint, generator: Generator) -> None:
    changed = perturbed(tiny, "synthesis.b8.conv1.bias", 1e-3)
    report = check_parity(changed, generator, seeds=range(2))
    assert failed(report) >= {("img", "const"), ("img", "none"), ("img", "seeded")}
    assert ("ws", "-") not in failed(report)
    assert report.worst.output == "img"
    assert 1e-4 < report.worst.difference.max_abs < 1e-1


def test_finds_a_changed_mapping(tiny: Checkpoint, generator: Generator) -> None:
    changed = perturbed(tiny, "mapping.fc1.bias", 0.1)
    report = check_parity(changed, generator, seeds=range(2))
    assert ("ws", "-") in failed(report)


def test_finds_a_changed_mean_through_psi(tiny: Checkpoint, generator: Generator) -> None:
    changed = perturbed(tiny, "mapping.w_avg", 0.01)
    report = check_parity(changed, generator, seeds=range(2))
    assert {row.truncation_psi for row in report.rows if not row.passed} == {0.7}


def test_finds_changed_noise(tiny: Checkpoint, generator: Generator) -> None:
    changed = perturbed(tiny, "synthesis.b8.conv1.noise_const", 0.1)
    report = check_parity(changed, generator, seeds=range(2))
    assert {mode for _, mode in failed(report)} == {"const"}
    stronger = perturbed(tiny, "synthesis.b8.conv1.noise_strength", 0.1)
    report = check_parity(stronger, generator, seeds=range(2))
    assert {mode for _, mode in failed(report)} == {"const", "seeded"}


def test_finds_an_image_that_depends_on_its_batch(
    tiny: Checkpoint, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate = Generator.generate

    def mixed(self: Generator, seeds: Sequence[int], **options: Any) -> np.ndarray:
        images = generate(self, seeds, **options)
        return images[::-1].copy() if len(seeds) > 1 else images

    monkeypatch.setattr(Generator, "generate", mixed)
    report = check_parity(tiny, generator, seeds=range(4))
    assert {(row.output, row.batch) for row in report.rows if not row.passed} == {
        ("img", 4),
        ("image", 4),
    }


def test_finds_wrong_bytes(
    tiny: Checkpoint, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate = Generator.generate

    def swapped(self: Generator, seeds: Sequence[int], **options: Any) -> np.ndarray:
        images = generate(self, seeds, **options)
        return images[..., ::-1] if options["output"] == "image" else images  # BGR

    monkeypatch.setattr(Generator, "generate", swapped)
    assert {output for output, _ in failed(check_parity(tiny, generator, seeds=[0]))} == {"image"}


def test_finds_bytes_that_are_rounded_not_cut(
    tiny: Checkpoint, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate = Generator.generate

    def rounded(self: Generator, seeds: Sequence[int], **options: Any) -> np.ndarray:
        if options["output"] == "img":
            return generate(self, seeds, **options)
        images = generate(self, seeds, **(options | {"output": "img"})).transpose(0, 2, 3, 1)
        return np.clip(np.round(images * 127.5 + 128), 0, 255).astype(np.uint8)

    monkeypatch.setattr(Generator, "generate", rounded)  # off by one, in half of the bytes
    assert {output for output, _ in failed(check_parity(tiny, generator, seeds=[0]))} == {"image"}


@pytest.mark.parametrize("tensor", ["synthesis.b4.const", "mapping.fc0.bias"])
def test_nan_fails_on_either_side(tiny: Checkpoint, tmp_path: Path, tensor: str) -> None:
    damaged = perturbed(tiny, tensor, np.nan)
    export_bundle(damaged, tmp_path / "bundle", verify_seeds=0)
    output = "ws" if tensor.startswith("mapping") else "img"
    with Generator.open(tmp_path / "bundle", threads=1) as generator:
        for checkpoint in (tiny, damaged):  # NaN against numbers, and NaN against NaN
            report = check_parity(checkpoint, generator, seeds=range(2))
            rows = [row for row in report.rows if row.output == output]
            assert rows
            assert not any(row.passed or row.difference.finite for row in rows)
            assert report.worst.output == output
            assert "\n" not in str(parity_error(report))


def test_progress_counts_the_images(tiny: Checkpoint, generator: Generator) -> None:
    steps: list[tuple[int, int]] = []
    check_parity(
        tiny, generator, seeds=range(5), progress=lambda done, total: steps.append((done, total))
    )
    assert [done for done, _ in steps] == sorted({done for done, _ in steps})
    assert {total for _, total in steps} == {steps[-1][0]}


def test_labels_are_hard_and_soft(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(c_dim=3, embed_features=8)
    export_bundle(checkpoint, tmp_path / "bundle", verify_seeds=0)
    changed = perturbed(checkpoint, "mapping.embed.bias", 0.5)
    with Generator.open(tmp_path / "bundle", threads=1) as generator:
        assert check_parity(checkpoint, generator, seeds=range(4)).passed
        assert ("ws", "-") in failed(check_parity(changed, generator, seeds=range(4)))


def row_of(output: str, max_abs: float, *, passed: bool) -> ParityRow:
    return ParityRow(output, 1.0, "const", 1, 1, Difference(max_abs, 90.0, True), passed)


def off_by(error: float, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let PyTorch be off by `error` where it computes in `dtype`."""
    image = Yardstick.image

    def wrong(self: Yardstick, *arguments: Any) -> np.ndarray:
        return image(self, *arguments) + (error if self._dtype == dtype else 0)

    monkeypatch.setattr(Yardstick, "image", wrong)


def test_where_float32_of_pytorch_is_off_the_truth_is_float64(
    tiny: Checkpoint, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    off_by(3e-4, torch.float32, monkeypatch)
    rows = [row for row in check_parity(tiny, generator, seeds=[0, 1]).rows if row.output == "img"]
    assert all(row.passed for row in rows)
    assert all(row.difference.max_abs < 1e-5 for row in rows)
    assert [row.reference_error for row in rows] == pytest.approx([3e-4] * len(rows), rel=0.05)


def test_a_candidate_further_from_the_truth_than_pytorch_fails(
    tiny: Checkpoint, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    off_by(3e-4, torch.float64, monkeypatch)  # as if both float32 were: that is allowed
    assert check_parity(tiny, generator, seeds=[0]).passed
    off_by(-3e-4, torch.float32, monkeypatch)  # PyTorch is as near again on the other side
    other = perturbed(tiny, "synthesis.b8.torgb.bias", 8e-4)
    assert ("img", "const") in failed(check_parity(other, generator, seeds=[0]))


def test_worst_row_is_a_failed_one() -> None:
    report = ParityReport(
        (
            row_of("image", 1, passed=True),
            row_of("img", 1e-2, passed=True),
            row_of("ws", 1e-3, passed=False),
        ),
    )
    assert not report.passed
    assert report.worst.output == "ws"
    assert "1 of 3 rows. Worst: fp32 ws" in str(parity_error(report))


def test_report_is_strict_json(tiny: Checkpoint, generator: Generator) -> None:
    report = check_parity(tiny, generator, seeds=[0])
    exact = ParityRow("ws", 1.0, "-", 1, 1, Difference(0.0, np.inf, True), passed=True)
    text = json.dumps(replace(report, rows=(*report.rows, exact)).to_json(), allow_nan=False)
    data = json.loads(text)
    assert data["tolerances"] == {"fp32": {"max_abs": 1e-4, "psnr_db": 70}}
    assert data["passed"] is True
    assert data["rows"][-1]["difference"] == {"max_abs": 0.0, "psnr_db": None, "finite": True}
    fields = {"output", "truncation_psi", "noise_mode", "batch", "images", "difference", "passed"}
    fields |= {"precision", "motion", "reference_error"}
    fields |= {"off_by_more_than_1", "off_by_more_than_4"}
    assert all(set(row) == fields for row in data["rows"])


def test_a_failed_report_is_strict_json() -> None:
    row = ParityRow("img", 1.0, "none", 1, 1, Difference(np.inf, -np.inf, False), passed=False)
    json.dumps(ParityReport((row,)).to_json(), allow_nan=False)


def test_the_table_for_people() -> None:
    row = ParityRow("img", 0.7, "const", 4, 32, Difference(1.31e-5, 92.34, True), True)
    byte = replace(row, output="image", difference=Difference(1.0, math.inf, True), passed=False)
    first, second = ParityReport((row, byte)).table()
    assert first == {
        "precision": "fp32",
        "output": "img",
        "psi": "0.7",
        "noise": "const",
        "batch": "4",
        "images": "32",
        "max |d|": "1.3e-05",
        "PSNR dB": "92.3",
        "": "ok",
    }
    assert (second["max |d|"], second["PSNR dB"], second[""]) == ("1 LSB", "equal", "FAILED")
    (moved,) = ParityReport((replace(row, noise_mode="-", motion="seeded"),)).table()
    assert moved["motion"] == "seeded"
    assert "noise" not in moved
