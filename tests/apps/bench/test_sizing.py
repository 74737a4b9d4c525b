"""The arithmetic of many images: machines, hours and cost, as docs/scaling.md has the formula."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stylert.apps.bench import BenchResult, CandidateReport, Measurement
from stylert.apps.bench.sizing import Fleet, Pace, Sizing, size_fleets, size_job
from stylert.runtime.errors import InvalidInput
from stylert.runtime.generator import Generator
from stylert.runtime.images import encode_image

PACE = Pace("tensorrt", 8, 1000 / 9, startup_seconds=60.0)  # 100 images/s are left of it
START = 360  # seconds


def table(images: int = 1_000_000, **options: Any) -> dict[int, Fleet]:
    """Sizes of fleets, by their machines."""
    return {fleet.machines: fleet for fleet in size_fleets(images, PACE, **options)[1]}


def sizing(images: int = 1_000_000, **options: Any) -> Sizing:
    return Sizing(images, PACE, 100_000, *size_fleets(images, PACE, **options))


def test_one_machine_takes_all_images_after_its_start() -> None:
    alone = table(price=3.6)[1]
    assert alone.hours == pytest.approx((10_000 + START) / 3600)
    assert alone.machine_hours == pytest.approx(alone.hours)
    assert alone.cost == pytest.approx((10_000 + START) / 3600 * 3.6)
    assert table()[1].cost is None


def test_more_machines_take_less_time_and_cost_their_starts() -> None:
    one, eight = table(price=1.0)[1], table(price=1.0)[8]
    assert eight.hours == pytest.approx((125_000 / 100 + START) / 3600)
    assert eight.machine_hours - one.machine_hours == pytest.approx(7 * START / 3600)


def test_a_shard_is_not_shared() -> None:
    three = table(4000, hours=(2000 / 100 + START + 1) / 3600)  # one of two machines draws two
    assert list(three) == [1, 2, 4]
    assert three[2].hours == pytest.approx((2000 / 100 + START) / 3600)
    assert table(3001, hours=(1000 / 100 + START + 1) / 3600)[4].hours < three[2].hours
    assert table(10)[1].hours == pytest.approx((10 / 100 + START) / 3600)


@pytest.mark.parametrize("images", [10, 3001, 1_000_000])
@pytest.mark.parametrize("hours", [0.102, 0.11, 0.2, 1.0, 2.7, 100.0, None])
def test_the_fewest_machines_that_are_in_time(images: int, hours: float | None) -> None:
    def in_time(machines: int) -> bool:
        most = min(math.ceil(math.ceil(images / 1000) / machines) * 1000, images)
        return hours is None or (START + most / 100) / 3600 <= hours

    fitting, fleets = size_fleets(images, PACE, hours=hours)
    expected = next((machines for machines in range(1, 1001) if in_time(machines)), None)
    assert (fitting and fitting.machines) == expected
    assert fitting is None or fitting in fleets


def test_too_little_time_for_any_number_of_machines() -> None:
    job = sizing(hours=0.01)  # less than the start
    assert job.fitting is None
    assert json.loads(json.dumps(job.to_json()))["fitting"] is None
    assert all("enough" not in row["machines"] for row in job.texts())
    assert "No number of machines is done in time" in next(job.told())


def test_the_table_and_what_it_rests_on_are_told() -> None:
    job = sizing(price=2.0, hours=1.0)
    first = job.texts()[0]
    assert first == {"machines": "1", "done in": "2.9 h", "machine hours": "2.9", "cost": "5.76"}
    assert {"4 (enough)"} == {r["machines"] for r in job.texts() if "enough" in r["machines"]}
    assert job.texts()[-1]["done in"] == "7 min"
    told = " ".join(job.told())
    for words in ("tensorrt, batch 8, 111.1 images/s", "360 s", "90%", "100.0 GB", "260.0 MB"):
        assert words in told
    assert sizing().texts()[0]["cost"] == "-"
    assert sizing(images=10**9).texts()[0]["done in"] == "116 days"


@pytest.mark.parametrize(
    ("name", "value"),
    [("images", 0), ("price", -1.0), ("hours", -1.0), ("hours", math.nan), ("price", math.inf)],
)
def test_numbers_out_of_range(name: str, value: Any, refuses: Callable[..., Any]) -> None:
    with refuses(name):
        table(**{name: value})


def test_the_fastest_that_was_timed_of_a_bundle(bundle: Path, generator: Generator) -> None:
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
    job = size_job(bundle, result(fast, slow, best), 5000, price=1.0, hours=1.0)
    assert job.pace == Pace("onnxruntime", 8, 16.0, 1.5)
    assert (job.fitting, job.table) == size_fleets(5000, job.pace, price=1.0, hours=1.0)
    images = generator.generate(range(4))
    sizes = [len(encode_image(image, kind="PNG", compression=1)) for image in images]
    assert job.image_bytes == pytest.approx(sum(sizes) / 4, abs=1)
    with pytest.raises(InvalidInput, match="only PyTorch"):
        size_job(bundle, result(fast), 1)
