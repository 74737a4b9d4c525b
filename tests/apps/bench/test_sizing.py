"""The arithmetic of many images: machines, hours and cost."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stylert.apps.bench import BenchResult, CandidateReport, Measurement
from stylert.apps.bench.sizing import Pace, Sizing, image_bytes_of, pace_of
from stylert.runtime.errors import InvalidInput
from stylert.runtime.generator import Generator
from stylert.runtime.images import encode_image

PACE = Pace("tensorrt", 8, 100.0, startup_seconds=60.0)


def sizing(**options: Any) -> Sizing:
    defaults = {"images": 1_000_000, "pace": PACE, "share": 1.0, "boot_seconds": 0.0}
    return Sizing(**{**defaults, **options})


def test_one_machine_takes_all_images_after_its_start() -> None:
    alone = sizing(price=3.6).on(1)
    assert alone.hours == pytest.approx((1_000_000 / 100 + 60) / 3600)
    assert alone.machine_hours == pytest.approx(alone.hours)
    assert alone.cost == pytest.approx(10_060 / 3600 * 3.6)


def test_more_machines_take_less_time_and_cost_their_starts() -> None:
    many = sizing(price=1.0, build_seconds=240.0)
    one, ten = many.on(1), many.on(10)
    assert ten.hours == pytest.approx((100_000 / 100 + 300) / 3600)
    assert ten.machine_hours - one.machine_hours == pytest.approx(9 * 300 / 3600)


def test_a_shard_is_not_shared() -> None:
    three = sizing(images=4000, shard_size=1000).on(3)
    assert three.hours == pytest.approx((2000 / 100 + 60) / 3600)  # one of them draws two
    assert sizing(images=4000).on(9).hours == sizing(images=4000).on(4).hours
    assert sizing(images=10).on(1).hours == pytest.approx((10 / 100 + 60) / 3600)


@pytest.mark.parametrize("hours", [0.02, 0.1, 1.0, 2.7, 100.0])
def test_the_fewest_machines_that_are_in_time(hours: float) -> None:
    job = sizing(hours=hours)
    fitting = job.fitting
    assert fitting is not None
    assert fitting.hours <= hours
    assert fitting.machines == 1 or job.on(fitting.machines - 1).hours > hours
    assert fitting in job.table()


def test_too_little_time_for_any_number_of_machines() -> None:
    job = sizing(hours=0.01)  # less than the start
    assert job.fitting is None
    assert json.loads(json.dumps(job.to_json()))["fitting"] is None
    assert all("enough" not in row["machines"] for row in job.texts())
    assert "No number of machines is done in 0.01 h" in next(job.told())


def test_the_share_of_the_pace_that_is_left() -> None:
    assert sizing(share=0.5).on(1).hours == pytest.approx((20_000 + 60) / 3600)


def test_the_table_and_the_assumptions_are_told() -> None:
    job = sizing(price=2.0, hours=1.0, image_bytes=100_000, build_seconds=90.0)
    first = job.texts()[0]
    assert first == {"machines": "1", "done in": "2.8 h", "machine hours": "2.8", "cost": "5.64"}
    assert {"3 (enough)"} == {r["machines"] for r in job.texts() if "enough" in r["machines"]}
    assert job.texts()[-1]["done in"] == "4 min"
    told = " ".join(job.assumptions())
    for words in ("tensorrt, batch 8, 100 images/s", "150 s", "100.00 GB", "260.0 MB", "90 s"):
        assert words in told
    assert sizing().texts()[0]["cost"] == "-"
    assert sizing(images=10**9).texts()[0]["done in"] == "116 days"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("images", 0), ("shard_size", 0), ("price", -1.0), ("hours", 0.0), ("share", 0.0)),
        *(("boot_seconds", math.nan), ("price", math.inf), ("pace", Pace("x", 1, 0.0))),
    ],
)
def test_numbers_out_of_range(name: str, value: Any, refuses: Callable[..., Any]) -> None:
    with refuses("images_per_second" if name == "pace" else name):
        sizing(**{name: value})


def test_the_size_of_the_files_is_measured(bundle: Path, generator: Generator) -> None:
    images = generator.generate(range(4))
    sizes = [len(encode_image(image, kind="PNG", compression=1)) for image in images]
    assert image_bytes_of(bundle) == pytest.approx(sum(sizes) / 4, abs=1)


def test_the_fastest_measured_pace_of_a_bundle() -> None:
    def measured(name: str, batch: int, seconds: float) -> Measurement:
        return Measurement(name, batch, ((seconds,),), ((seconds,),))

    def result(*measurements: Measurement) -> BenchResult:
        return BenchResult(
            subject="known",
            macs_per_image=1,
            settings={},
            machine={},
            reference=None,
            baseline=None,
            gemm_shape=(1, 1, 1),
            gemm=CandidateReport("gemm", "m:f"),
            candidates=(
                CandidateReport("torch-eager", "m:f"),
                CandidateReport("onnxruntime", "m:f", startup_seconds=1.5),
            ),
            measurements=measurements,
            roofline=(),
        )

    fast = measured("torch-eager", 8, 0.001)
    slow, best = measured("onnxruntime", 1, 0.1), measured("onnxruntime", 8, 0.5)
    assert pace_of(result(fast, slow, best)) == Pace("onnxruntime", 8, 16.0, 1.5)
    with pytest.raises(InvalidInput, match="only PyTorch"):
        pace_of(result(fast))
