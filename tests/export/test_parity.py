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

from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import Checkpoint
from stylert.export.checkpoints.configs.stylegan3_design import StyleGAN3Design
from stylert.export.checkpoints.untrained import UNTRAINED, make_untrained
from stylert.export.parity import (
    ParityReport,
    ParityRow,
    Scene,
    check_parity,
    count_pictures,
    make_parity_error,
)
from stylert.export.parity.reference import Reference
from stylert.export.parity.scenes import Psi
from stylert.runtime.errors import ParityError
from stylert.runtime.generator import Generator
from stylert.runtime.graph_inputs import GraphInputs
from stylert.runtime.proof.parity import RMS_FACTOR, Difference, RoundingError

MakeCheckpoint = Callable[..., Checkpoint]
Row = tuple[str, str, str]  # psi, noise or motion, and ws


@pytest.fixture(scope="module")
def generator(tiny_bundle: Path) -> Iterator[Generator]:
    with Generator.open(tiny_bundle, threads=1) as generator:
        yield generator


def perturbed(checkpoint: Checkpoint, tensor: str, change: float) -> Checkpoint:
    array = checkpoint.tensors[tensor] + np.float32(change)
    return replace(checkpoint, tensors={**checkpoint.tensors, tensor: np.asarray(array)})


def failed(report: ParityReport) -> set[tuple[str, str]]:
    assert report.passed == all(row.passed for row in report.rows)
    return {(row.output, row.scene.noise_mode) for row in report.rows if not row.passed}


def styles_rows(num_ws: int) -> list[tuple[str, str, str, int]]:
    """Psi, noise or motion, ws, and batch of every row of styles."""
    psis = ("1", "0.7", f"0.7 to layer {num_ws // 2}", "own")
    return [(psi, "-", "one", batch) for psi in psis for batch in (1, 4)]


def settings_of(report: ParityReport, output: str, control: str) -> list[tuple[Any, ...]]:
    return [
        (str(row.scene.psi), getattr(row.scene, control), row.scene.ws, row.batch)
        for row in report.rows
        if row.output == output
    ]


def test_covers_psis_batches_noise_modes_and_a_w_of_every_layer(
    tiny: Checkpoint, generator: Generator
) -> None:
    report = check_parity(tiny, generator, seeds=range(5))
    assert report.passed
    cut = f"0.7 to layer {tiny.config.num_ws // 2}"
    first, second, last = ("1", "const", "one"), (cut, "none", "one"), ("1", "seeded", "own")
    assert settings_of(report, "ws", "noise_mode") == styles_rows(tiny.config.num_ws)
    assert settings_of(report, "img", "noise_mode") == drawn_rows(first, second, last)
    assert settings_of(report, "image", "noise_mode") == [(*first, 4)]
    assert {row.images for row in report.rows if row.batch == 4 and row.output != "image"} == {5}


def drawn_rows(first: Row, second: Row, last: Row) -> list[tuple[Any, ...]]:
    """The outer scenes are drawn alone, too."""
    return [(*first, 1), (*first, 4), (*second, 4), (*last, 1), (*last, 4)]


def test_half_precision_is_compared_in_the_outer_scenes(
    make_checkpoint: MakeCheckpoint, tmp_path: Path
) -> None:
    report = export_bundle(make_checkpoint(conv_clamp=256.0), tmp_path / "bundle", verify_seeds=2)
    assert report is not None
    half = [row for row in report.rows if row.precision == "fp16"]
    assert [(row.output, row.scene.ws, row.batch) for row in half if row.output == "img"] == [
        ("img", "one", 4),
        ("img", "own", 4),
    ]
    assert [row.output for row in half].count("image") == 1


@pytest.mark.parametrize(
    ("name", "pictures"),
    [("stylegan2-256", 16), ("stylegan2-1024", 8), ("stylegan1-256", 8), ("stylegan3-t-256", 8)],
)
def test_how_many_pictures_follows_from_the_network(name: str, pictures: int) -> None:
    assert count_pictures(UNTRAINED[name]()) == pictures


def test_small_networks_are_proven_with_32_pictures(tiny: Checkpoint, tmp_path: Path) -> None:
    report = export_bundle(tiny, tmp_path / "bundle")
    assert report is not None
    assert max(row.images for row in report.rows) == count_pictures(tiny.config) == 32


def test_covers_networks_without_noise(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(use_noise=False)
    report = export_bundle(checkpoint, tmp_path / "bundle", verify_seeds=1)
    assert report is not None
    assert {row.scene.noise_mode for row in report.rows} == {"-"}


@pytest.fixture(scope="module")
def moving() -> Checkpoint:
    """A StyleGAN3 of 32x32 pixels."""
    design = StyleGAN3Design(img_resolution=32, channel_max=6, num_layers=4, margin_size=2)
    config = design.make_config(z_dim=8, c_dim=0, w_dim=8, mapping_layers=2, mapping_features=8)
    return make_untrained("small", config=config)


def test_covers_the_motion_of_stylegan3(
    moving: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "bundle"
    export_bundle(moving, out, verify_seeds=0, half="none")
    with Generator.open(out, threads=1) as generator:
        report = check_parity(moving, generator, seeds=range(5))
        assert report.passed
        cut = f"0.7 to layer {moving.config.num_ws // 2}"
        scenes = ("1", "none", "one"), (cut, "seeded", "one"), ("1", "matrix", "own")
        assert settings_of(report, "ws", "motion") == styles_rows(moving.config.num_ws)
        assert settings_of(report, "img", "motion") == drawn_rows(*scenes)
        assert {row.scene.noise_mode for row in report.rows} == {"-"}

        matrices = GraphInputs.transforms
        monkeypatch.setattr(  # a runtime that moves nothing
            GraphInputs,
            "transforms",
            lambda self, options, batch: matrices(self, {}, batch=batch),
        )
        wrong = check_parity(moving, generator, seeds=range(2))
        assert {row.scene.motion for row in wrong.rows if not row.passed} == {"seeded", "matrix"}


def test_settings_are_really_used(
    tiny: Checkpoint, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[int, bytes]] = []
    for name in ("generate", "synthesize"):
        method = getattr(Generator, name)

        def recorded(self: Generator, rows: Any, *, method: Any = method, **options: Any) -> Any:
            images = method(self, rows, **options)
            if options["output"] == "img":
                drawn.append((len(rows), images.tobytes()))
            return images

        monkeypatch.setattr(Generator, name, recorded)
    check_parity(tiny, generator, seeds=range(4))
    # Each scene once by fours, no picture twice; the outer ones four times alone.
    fours = [image for count, image in drawn if count == 4]
    assert (len(fours), len(set(fours))) == (3, 3)
    assert sum(count == 1 for count, _ in drawn) == 2 * 4


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
    missed = [row for row in report.rows if not row.passed]
    assert {str(row.scene.psi) for row in missed} == {"0.7", "0.7 to layer 2", "own"}


def test_finds_changed_noise(tiny: Checkpoint, generator: Generator) -> None:
    changed = perturbed(tiny, "synthesis.b8.conv1.noise_const", 0.1)
    report = check_parity(changed, generator, seeds=range(2))
    assert {mode for _, mode in failed(report)} == {"const"}  # seeded noise is another
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
    assert {(row.output, row.batch) for row in report.rows if not row.passed} == {("img", 4)}


def test_finds_wrong_bytes(
    tiny: Checkpoint, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate = Generator.generate

    def swapped(self: Generator, seeds: Sequence[int], **options: Any) -> np.ndarray:
        images = generate(self, seeds, **options)
        return images[..., ::-1] if options["output"] == "image" else images  # BGR

    monkeypatch.setattr(Generator, "generate", swapped)
    assert {output for output, _ in failed(check_parity(tiny, generator, seeds=[0]))} == {"image"}


def test_finds_a_w_of_another_layer(
    tiny: Checkpoint, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    synthesize = Generator.synthesize

    def swapped(self: Generator, ws: np.ndarray, **options: Any) -> np.ndarray:
        return synthesize(self, ws[:, [1, 0, *range(2, ws.shape[1])]], **options)

    monkeypatch.setattr(Generator, "synthesize", swapped)
    report = check_parity(tiny, generator, seeds=range(2))
    assert {row.scene.ws for row in report.rows if not row.passed} == {"own"}


def test_finds_a_psi_of_another_picture(
    tiny: Checkpoint, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a graph would draw that takes the first row of psi for all."""
    psi = GraphInputs.psi

    def first(self: GraphInputs, *arguments: Any, batch: int) -> np.ndarray:
        rows = psi(self, *arguments, batch=batch)
        return np.repeat(rows[:1], batch, axis=0)

    monkeypatch.setattr(GraphInputs, "psi", first)
    report = check_parity(tiny, generator, seeds=range(4))
    missed = {(row.output, str(row.scene.psi), row.batch) for row in report.rows if not row.passed}
    assert missed == {("ws", "own", 4)}


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
            assert "\n" not in str(make_parity_error(report))


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


ONE = Scene(Psi(1.0), "const")


def find_row(output: str, max_abs: float, *, passed: bool) -> ParityRow:
    found = Difference(max_abs / 10, max_abs, 90.0, True)
    return ParityRow(output, ONE, 1, 1, found, gate=int(passed))


# ---- Gate 2 -----------------------------------------------------------------------------------


def off_by(rms: float, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let PyTorch be off by noise of this size where it computes in `dtype`."""
    draw = Reference.draw_together

    def wrong(self: Reference, seeds: Sequence[int], *arguments: Any) -> np.ndarray:
        images = draw(self, seeds, *arguments)
        if self._dtype != dtype:
            return images
        noise = [
            np.random.RandomState([seed, 9]).standard_normal(images.shape[1:]) for seed in seeds
        ]
        return images + (np.stack(noise) * rms).astype(images.dtype)

    monkeypatch.setattr(Reference, "draw_together", wrong)


def images_of(report: ParityReport) -> list[ParityRow]:
    return [row for row in report.rows if row.output == "img"]


def test_where_float32_of_pytorch_is_off_the_truth_is_float64(
    tiny: Checkpoint, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    off_by(1e-4, torch.float32, monkeypatch)
    report = check_parity(tiny, generator, seeds=[0, 1])
    assert report.passed
    assert {row.gate for row in images_of(report)} == {2}
    assert {row.gate for row in report.rows if row.output == "ws"} == {1}
    assert all(row.exact is not None and row.exact.max_abs < 1e-5 for row in images_of(report))
    error = report.errors["img"]
    assert error.pictures == 8
    assert error.rms == pytest.approx(1e-4, rel=0.1)
    assert not report.chaotic
    assert report.to_json()["reference_error"]["img"]["rms"] == error.rms


@pytest.mark.parametrize(("factor", "passed"), [(0.9, True), (1.1, False)])
def test_a_candidate_may_be_four_times_as_far_from_the_truth(
    tiny: Checkpoint,
    generator: Generator,
    monkeypatch: pytest.MonkeyPatch,
    factor: float,
    passed: bool,
) -> None:
    off_by(1e-5, torch.float32, monkeypatch)
    # A bias of the image moves every pixel by as much.
    moved = 1e-5 * RMS_FACTOR * factor
    other = perturbed(tiny, "synthesis.b8.torgb.bias", moved)
    assert check_parity(other, generator, seeds=range(8)).passed == passed


def test_no_float64_is_drawn_where_gate_1_is_passed_by_far(
    tiny: Checkpoint, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[torch.dtype] = []
    draw = Reference.draw_together

    def recorded(self: Reference, *arguments: Any) -> np.ndarray:
        drawn.append(self._dtype)
        return draw(self, *arguments)

    monkeypatch.setattr(Reference, "draw_together", recorded)
    report = check_parity(tiny, generator, seeds=range(8))
    assert set(drawn) == {torch.float32}
    assert report.errors == {}
    drawn.clear()
    close = perturbed(tiny, "synthesis.b8.torgb.bias", 3e-6)  # passes gate 1, by little
    report = check_parity(close, generator, seeds=range(8))
    assert drawn.count(torch.float64) == report.errors["img"].pictures == 8
    assert {row.gate for row in images_of(report)} == {1}


def test_a_chaotic_network_is_told(
    tiny: Checkpoint, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    off_by(2e-3, torch.float32, monkeypatch)
    report = check_parity(tiny, generator, seeds=range(8))
    assert report.chaotic
    assert not report.passed
    assert all(row.passed for row in report.rows)
    assert "chaotic in float32: PyTorch's own float32 is 0.0021 (rms)" in str(
        make_parity_error(report)
    )
    assert check_parity(tiny, generator, seeds=range(8), allow_chaotic=True).passed


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("not enough memory: 8 bytes")])
def test_out_of_memory_falls_to_fewer_pictures(
    tiny: Checkpoint, generator: Generator, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    off_by(1e-4, torch.float32, monkeypatch)
    draw, left = Reference.draw_together, 3

    def scarce(self: Reference, *arguments: Any) -> np.ndarray:
        nonlocal left
        if self._dtype == torch.float64:
            left -= 1
            if left < 0:
                raise error
        return draw(self, *arguments)

    monkeypatch.setattr(Reference, "draw_together", scarce)
    report = check_parity(tiny, generator, seeds=range(4))
    assert report.passed
    assert report.errors["img"].pictures == 3
    assert report.notes == ("Out of memory while drawing in float64: 3 of 8 pictures were drawn.",)
    left = 0
    report = check_parity(tiny, generator, seeds=range(4))
    assert not report.passed
    assert "Out of memory while drawing in float64: 0 of 8" in str(make_parity_error(report))


def test_another_error_of_float64_is_no_want_of_memory(
    tiny: Checkpoint, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    off_by(1e-4, torch.float32, monkeypatch)
    draw = Reference.draw_together

    def broken(self: Reference, *arguments: Any) -> np.ndarray:
        if self._dtype == torch.float64:
            raise RuntimeError("expected Double but found Float")
        return draw(self, *arguments)

    monkeypatch.setattr(Reference, "draw_together", broken)
    with pytest.raises(RuntimeError, match="expected Double"):
        check_parity(tiny, generator, seeds=range(2))


@pytest.mark.parametrize("tensor", ["synthesis.b4.const", "mapping.fc0.bias"])
def test_a_network_that_overflows_by_itself_is_told_so(
    tiny: Checkpoint, tmp_path: Path, tensor: str
) -> None:
    damaged = perturbed(tiny, tensor, np.inf)
    with pytest.raises(ParityError, match="The network itself overflows: in float64") as caught:
        export_bundle(damaged, tmp_path / "bundle", verify_seeds=2)
    assert "\n" not in str(caught.value)
    json.dumps(caught.value.report.to_json(), allow_nan=False)
    assert not (tmp_path / "bundle").exists()


def test_an_overflow_of_float32_alone_is_told(tiny: Checkpoint, tmp_path: Path) -> None:
    huge = perturbed(tiny, "synthesis.b8.torgb.weight", 3e38)
    with pytest.raises(ParityError, match="overflows in float32 where float64 does not"):
        export_bundle(huge, tmp_path / "bundle", verify_seeds=2)


def test_all_of_float64_is_over_the_same_scale() -> None:
    exact = np.stack([np.linspace(-1, 1, 100), np.linspace(-10, 10, 100)])
    error = RoundingError.measure(exact, exact + np.array([[1e-5], [1e-4]]))
    assert error.rms == pytest.approx(1e-5)
    assert error.max_abs == pytest.approx(1e-5)


# ---- The report -------------------------------------------------------------------------------


def test_worst_row_is_a_failed_one() -> None:
    report = ParityReport(
        (
            find_row("image", 1, passed=True),
            find_row("img", 1e-2, passed=True),
            find_row("ws", 1e-3, passed=False),
        ),
    )
    assert not report.passed
    assert report.worst.output == "ws"
    assert "1 of 3 rows. Worst: fp32 ws" in str(make_parity_error(report))


def test_report_is_strict_json(tiny: Checkpoint, generator: Generator) -> None:
    report = check_parity(tiny, generator, seeds=[0])
    exact = ParityRow("ws", Scene(Psi(1.0)), 1, 1, Difference(0.0, 0.0, np.inf, True), gate=1)
    text = json.dumps(replace(report, rows=(*report.rows, exact)).to_json(), allow_nan=False)
    data = json.loads(text)
    assert data["tolerances"] == {"fp32": {"rms": 4e-6, "max_abs": 1e-4, "psnr_db": None}}
    assert data["passed"] is True
    assert data["rows"][-1]["difference"] == {
        "rms": 0.0,
        "max_abs": 0.0,
        "psnr_db": None,
        "finite": True,
    }
    fields = {"output", "truncation_psi", "noise_mode", "batch", "images", "difference", "passed"}
    fields |= {"precision", "motion", "truncation_cutoff", "ws", "gate", "exact_difference"}
    fields |= {"off_by_more_than_1", "off_by_more_than_4", "worst_seed"}
    assert all(set(row) == fields for row in data["rows"])


def test_a_failed_report_is_strict_json() -> None:
    row = ParityRow("img", ONE, 1, 1, Difference(np.inf, np.inf, -np.inf, False), gate=0)
    json.dumps(ParityReport((row,)).to_json(), allow_nan=False)


def test_the_table_for_people() -> None:
    found = Difference(2.17e-6, 1.31e-5, 92.34, True)
    row = ParityRow("img", replace(ONE, psi=Psi(0.7, 5)), 4, 32, found, gate=2)
    byte = replace(row, output="image", difference=Difference(0.0, 1.0, math.inf, True), gate=0)
    first, second = ParityReport((row, byte)).make_table()
    assert first == {
        "precision": "fp32",
        "output": "img",
        "psi": "0.7 to layer 5",
        "ws": "one",
        "noise": "const",
        "batch": "4",
        "images": "32",
        "rms d": "2.2e-06",
        "max |d|": "1.3e-05",
        "PSNR dB": "92.3",
        "": "ok by float64",
    }
    assert (second["max |d|"], second["PSNR dB"], second[""]) == ("1 LSB", "equal", "FAILED")
    moving = replace(row, scene=Scene(Psi(1.0), motion="seeded"))
    (moved,) = ParityReport((moving,)).make_table()
    assert moved["motion"] == "seeded"
    assert "noise" not in moved
