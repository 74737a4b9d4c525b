"""`stylert tune`: what is timed, what is said, and what `auto` does then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stylert.apps.bench import tuning
from stylert.apps.bench.tuning import tune_bundle
from stylert.cli import main
from stylert.runtime.backends.tuned_choice import read_timings
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import EngineError, MissingExtra
from stylert.runtime.generator import Generator

FASTER = {"onnxruntime": {1: 0.3, 8: 2.0}, "openvino": {1: 0.2, 8: 1.6}}


class Clock:
    """A clock that only drawing moves on, and what was drawn by it."""

    def __init__(self, seconds: dict[str, dict[int, float]]) -> None:
        self.now = 0.0
        self.seconds = seconds
        self.drawn: list[tuple[str, int]] = []

    def perf_counter(self) -> float:
        return self.now

    def draw(self, generator: Generator, batch: int) -> float:
        name = generator.describe()["backend"]
        first = (name, batch) not in self.drawn
        self.drawn.append((name, batch))
        took = self.seconds[name][batch] + 1.0 * first  # to make ready
        self.now += took
        return took


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Clock:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    clock = Clock(FASTER)
    monkeypatch.setattr(tuning, "time", clock)
    monkeypatch.setattr(tuning, "_time_drawing", clock.draw)
    return clock


def test_in_turn_and_within_the_time(tiny_bundle: Path, clock: Clock) -> None:
    found = tune_bundle(tiny_bundle, threads=1)
    assert found.timings.seconds == FASTER
    assert clock.now <= 30
    assert clock.drawn[:4] == [("onnxruntime", 1), ("openvino", 1)] * 2
    assert read_timings(Bundle.open(tiny_bundle)) == found.timings
    assert not found.lines()
    assert found.rows()[1] == {
        "backend": f"openvino {found.versions['openvino']}",
        "batch 1, ms": "200.0",
        "batch 8, ms": "1600.0",
        "batch 1, x onnxruntime": "1.50",
        "batch 8, x onnxruntime": "1.25",
        "auto takes": "this one",
    }


def test_a_batch_that_takes_too_long_is_left_out_and_told(tiny_bundle: Path, clock: Clock) -> None:
    clock.seconds = {name: {1: of[1], 8: 10.0} for name, of in FASTER.items()}
    found = tune_bundle(tiny_bundle, threads=1, seconds=20)
    assert found.skipped == (8,)
    assert found.lines() == ["There was no time for batch 8: pass more seconds."]
    assert set(found.timings.seconds["openvino"]) == {1}


def test_too_little_time(tiny_bundle: Path, clock: Clock, refuses: Any) -> None:
    with refuses(
        "seconds: got 2, which are too few", "onnxruntime, openvino", "seconds=4", error=EngineError
    ):
        tune_bundle(tiny_bundle, threads=1, seconds=2)
    assert read_timings(Bundle.open(tiny_bundle)) is None


def test_one_that_does_not_run_is_told(
    tiny_bundle: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise EngineError("no such luck")

    monkeypatch.setattr("stylert.runtime.backends.openvino.session.OpenVINOSession", fails)
    found = tune_bundle(tiny_bundle, threads=1)
    assert found.failed == {"openvino": "no such luck"}
    assert found.lines() == ["openvino was not timed: no such luck"]
    assert found.timings.fastest == "onnxruntime"


def test_nothing_is_installed(
    tiny_bundle: Path, clock: Clock, refuses: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "list_versions", dict)
    with refuses("No backend is installed", "[cpu]'", error=MissingExtra):
        tune_bundle(tiny_bundle)


def test_the_real_clock(conditional_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "MOST_TURNS", 2)
    found = tune_bundle(conditional_bundle, threads=1)
    assert {name: set(of) for name, of in found.timings.seconds.items()} == {
        "onnxruntime": {1, 8},
        "openvino": {1, 8},
    }
    assert all(value > 0 for of in found.timings.seconds.values() for value in of.values())


@pytest.mark.parametrize("as_json", [False, True])
def test_command(
    tiny_bundle: Path, clock: Clock, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["tune", str(tiny_bundle), "--threads", "1", *(["--json"] if as_json else [])])
    assert not ended.value.code
    said = capsys.readouterr()
    assert not said.err
    if as_json:
        found = json.loads(said.out)
        assert found["fastest"] == "openvino"
        assert found["seconds"]["openvino"] == {"1": 0.2, "8": 1.6}
        assert Path(found["note"]).is_file()
    else:
        assert "this one" in said.out
        assert "Noted for this network on this machine" in said.out
