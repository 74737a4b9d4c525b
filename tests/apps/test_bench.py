from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stylert.apps.bench import (
    BenchResult,
    Candidate,
    CandidateReport,
    Measurement,
    plot,
    run_bench,
)
from stylert.apps.bench.candidates import HALF_GEMM_SHAPE, open_generator
from stylert.apps.bench.pinning import Pinning
from stylert.apps.bench.worker import Worker, WorkerFailed, _Candidate
from stylert.runtime.errors import EngineError, InvalidInput, MissingExtra
from stylert.runtime.generator import Generator
from stylert.runtime.machine import usable_cpus, visible_gpus
from stylert.runtime.proof.parity import Difference

FAKES = Path(__file__).with_name("bench_fakes.py")
OFFSET = 2.0**-10
MACS = 1_000_000
pytestmark = pytest.mark.usefixtures("warm_python")


def fake(name: str, log: Path, **options: object) -> Candidate:
    return Candidate(name, f"{FAKES}:open_fake", {"name": name, "log": log, **options})


def lines(log: Path) -> list[str]:
    return log.read_text().splitlines()


def pids(log: Path) -> list[int]:
    return [int(line.split()[2]) for line in lines(log) if " open " in line]


def is_running(pid: int) -> bool:
    """Tell whether a process lives; a zombie that nobody has reaped yet does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


# One benchmark of two sound candidates, which many tests look at.


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench") / "log"


@pytest.fixture(scope="module")
def steps() -> list[tuple[str, float]]:
    return []


@pytest.fixture(scope="module")
def result(log: Path, steps: list[tuple[str, float]]) -> BenchResult:
    return run_bench(
        [fake("torch-eager", log), fake("off", log, offset=OFFSET)],
        batches=(1, 2),
        macs_per_image=MACS,
        threads=1,
        rounds=2,
        warmup=1,
        min_seconds=0.0,
        subject="fakes",
        progress=lambda message, share: steps.append((message, share)),
    )


def test_candidates_take_turns(result: BenchResult, log: Path) -> None:
    names = ("torch-eager", "off")
    started = [line for name in names for line in (f"{name} prepare 1", f"{name} run 1")]
    warm_1 = [f"{name} run 1" for name in names]  # it is prepared already
    rounds_1 = [f"{name} run 1" for _ in range(2) for name in names]
    warm_2 = [line for name in names for line in (f"{name} prepare 2", f"{name} run 2")]
    rounds_2 = [f"{name} run 2" for _ in range(2) for name in names]
    closed = [f"{name} close" for name in names]
    called = [line for line in lines(log) if " open " not in line]
    assert called == started + warm_1 + rounds_1 + warm_2 + rounds_2 + closed


def test_every_sample_is_kept(result: BenchResult) -> None:
    measured = [(m.candidate, m.batch) for m in result.measurements]
    assert measured == [("torch-eager", 1), ("off", 1), ("torch-eager", 2), ("off", 2)]
    for m in (*result.measurements, *result.roofline):
        assert [len(turn) for turn in m.rounds] == [1, 1]
        assert min(m.samples) > 0
        assert [len(turn) for turn in m.cpu_rounds] == [1, 1]
        assert min(min(turn) for turn in m.cpu_rounds) > 0


def test_workers_have_their_own_memory_startup_and_threads(result: BenchResult) -> None:
    for report in (result.gemm, *result.candidates):
        assert report.startup_seconds is not None
        assert report.startup_seconds > 0
        assert report.peak_mb is not None
        assert 10 < report.peak_mb < 1000
    assert result.candidate("off").description["threads"] == [1, "1"]
    assert result.settings["threads"] == 1


def test_workers_end_with_the_benchmark(result: BenchResult, log: Path) -> None:
    assert len(pids(log)) == 2
    assert not any(is_running(pid) for pid in pids(log))


def test_parity_is_of_the_images_that_were_timed(result: BenchResult) -> None:
    assert result.reference == result.baseline == "torch-eager"
    off = result.measurement("off", 2)
    assert off is not None
    assert off.difference is not None
    assert off.difference.max_abs == pytest.approx(OFFSET, rel=1e-3)
    assert off.difference.psnr_db == pytest.approx(20 * math.log10(2 / OFFSET), abs=0.5)
    assert off.passed is False
    right = result.measurement("torch-eager", 2)
    assert right is not None
    assert (right.difference, right.passed) == (None, None)
    assert len(result.parity_failures()) == 2
    assert result.parity_failures()[0].startswith(
        "off at batch 1: rms 0.00098, max |d| 0.00098, PSNR "
    )


def test_progress_runs_from_0_to_1(result: BenchResult, steps: list[tuple[str, float]]) -> None:
    shares = [share for _, share in steps]
    assert shares[0] == 0
    assert shares == sorted(set(shares))
    assert steps[-1] == ("done", 1.0)
    assert steps[-2] == ("batch 2: round 2 of 2", pytest.approx(12 / 13))


def test_json_round_trip(result: BenchResult) -> None:
    assert BenchResult.from_json(result.to_json()) == result
    document = json.loads(result.to_json())
    assert document["schema"] == 3
    assert document["summary"][0]["images_per_second"] > 0
    assert set(document["machine"]) >= {"cpu", "usable_cpus", "commit", "dirty", "load_average"}


def test_plot(result: BenchResult, tmp_path: Path) -> None:
    plot(result, tmp_path / "bench.png")
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InvalidInput, match=r"Choose a \.png"):
        plot(result, tmp_path / "bench.txt2")
    plot(result, tmp_path / "missing" / "bench.png")  # the folder is made
    with pytest.raises(InvalidInput, match="cannot write"):
        plot(result, tmp_path / "bench.png" / "bench.png")
    assert {path.name for path in tmp_path.rglob("*")} == {"bench.png", "missing"}


def test_plot_without_matplotlib(
    result: BenchResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"\[plot\]"):
        plot(result, tmp_path / "bench.png")


def test_parity_is_judged_by_the_precision(tmp_path: Path) -> None:
    log = tmp_path / "log"
    result = run_bench(
        [
            fake("right", log),
            fake("same", log),
            fake("half", log, offset=OFFSET, precision="fp16"),
            fake("other", log, precision="int4"),
            fake("large", log, fails="large"),
            fake("broken", log, offset=math.nan),
        ],
        batches=(1,),
        macs_per_image=MACS,
        threads=1,
        rounds=1,
        warmup=1,
        min_seconds=0.0,
        reference="right",
    )
    assert {row.candidate: row.passed for row in result.rows()} == {
        "right": None,
        "same": True,
        "half": True,
        "other": None,
        "large": None,
        "broken": False,
    }
    assert result.failures() == {
        "other": "batch 1, parity: precision 'int4' has no tolerance, "
        "expected one of ['fp32', 'fp16', 'int8']",
        "large": "batch 1, parity: shapes differ: (1, 3, 8, 8) and (1, 3, 16, 16)",
    }
    assert result.parity_failures() == (
        "broken at batch 1: rms inf, max |d| inf, PSNR -inf dB against right",
    )
    assert BenchResult.from_json(result.to_json()) == result


# Failures: of a candidate, of all of them, of the caller, of the parent process.


def test_failing_candidates_leave_the_others_alone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    result = run_bench(
        [
            fake("raises", log, fails="raise run 2"),
            fake("dies", log, fails="die prepare"),
            fake("float64", log, fails="float64"),
            Candidate("no-module", "stylert.no_such_module:open"),
            Candidate("no-extra", f"{FAKES}:open_nothing"),
            fake("sound", log),
        ],
        batches=(1, 2),
        macs_per_image=MACS,
        threads=1,
        rounds=1,
        warmup=1,
        min_seconds=0.0,
        baseline="raises",
    )
    assert result.failures() == {
        "raises": "batch 2, warm-up: RuntimeError: two lines",
        "dies": "start: the worker process ended with exit code 3: segmentation fault, nearly",
        "float64": "start: run() returned float64 [1, 3, 8, 8], "
        "expected a NumPy array of float32 [1, C, H, W].",
        "no-module": "start: ModuleNotFoundError: No module named 'stylert.no_such_module'",
        "no-extra": "start: torch is not installed. Run: pip install 'stylert[export]'",
    }
    measured = [(row.candidate, row.batch) for row in result.rows()]
    assert measured == [("raises", 1), ("sound", 1), ("sound", 2)]
    assert result.rows()[1].speedup is not None
    assert result.rows()[2].speedup is None  # the baseline has failed
    assert not any(is_running(pid) for pid in pids(log))
    plot(result, tmp_path / "bench.svg")
    assert "two lines" in (tmp_path / "bench.svg").read_text()


def test_a_worker_that_hangs_or_is_killed(tmp_path: Path) -> None:
    candidate = fake("hangs", tmp_path / "log", fails="hang run 2")
    worker = Worker(candidate, threads=1, log=tmp_path / "worker.log")
    worker.open(batch=1, timeout=60)
    with pytest.raises(WorkerFailed, match=r"^no answer to 'prepare' within 0.2 s$"):
        worker.ask("prepare", batch=2, warmup=1, pin=True, timeout=0.2)
    (pid,) = pids(tmp_path / "log")
    os.kill(pid, signal.SIGKILL)
    for _ in range(2):  # the first finds out while it waits, the second while it asks
        with pytest.raises(WorkerFailed, match=r"signal SIGKILL \(out of memory\?\)"):
            worker.ask("turn", min_seconds=0, timeout=60)
    worker.close()
    assert not is_running(pid)
    assert "a library that prints to stdout" in (tmp_path / "worker.log").read_text()


def test_if_all_fail_it_is_an_error(tmp_path: Path) -> None:
    candidates = [fake("one", tmp_path / "log", fails="raise run"), Candidate("two", "no:where")]
    with pytest.raises(EngineError, match=r"one: start: RuntimeError: two lines; two: start: Mod"):
        run_bench(candidates, batches=(1,), macs_per_image=MACS, threads=1)


def test_ctrl_c_ends_all_workers(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def interrupt(message: str, share: float) -> None:
        if "round 2" in message:
            assert all(map(is_running, pids(log)))
            raise KeyboardInterrupt

    candidates = [fake("a", log), fake("b", log)]
    with pytest.raises(KeyboardInterrupt):
        run_bench(candidates, batches=(1,), macs_per_image=MACS, threads=1, progress=interrupt)
    assert len(pids(log)) == 2
    assert not any(is_running(pid) for pid in pids(log))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills a process the POSIX way")
def test_workers_end_when_the_parent_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    options = {"name": "hangs", "log": str(log), "fails": "hang run"}
    code = (
        "from stylert.apps.bench import Candidate, run_bench\n"
        f"run_bench([Candidate('hangs', {str(FAKES) + ':open_fake'!r}, {options!r})],"
        " batches=(1,), macs_per_image=1, threads=1)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 30
    while not (log.exists() and "hangs run 1" in lines(log)) and time.monotonic() < deadline:
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    (worker,) = pids(log)
    while is_running(worker) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(worker)


def test_rounds_stop_when_the_time_is_up(tmp_path: Path) -> None:
    result = run_bench(
        [fake("a", tmp_path / "log")],
        batches=(1,),
        macs_per_image=MACS,
        threads=1,
        rounds=9,
        warmup=1,
        min_seconds=0.05,
        max_seconds=0.0,
    )
    (m,) = result.measurements
    assert len(m.rounds) == 5
    assert all(sum(turn) >= 0.05 for turn in m.rounds)
    assert any(len(turn) > 1 for turn in m.rounds)  # a fake call takes far less than 50 ms
    assert result.rows()[0].calls == len(m.samples)
    assert result.rows()[0].rounds == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"candidates": []}, "No candidates"),
        ({"candidates": [Candidate("a", "m:f"), Candidate("a", "m:f")]}, "different ones"),
        ({"candidates": [Candidate("gemm", "m:f")]}, "different ones"),
        ({"candidates": [Candidate("a", "m:f")], "device_gemm": Candidate("a", "m:f")}, "none of"),
        ({"candidates": [Candidate("a", "function")]}, "package.module:function"),
        ({"candidates": [Candidate("a", "m:f", {"x": object()})]}, "cannot cross"),
        ({"batches": ()}, "batches"),
        ({"batches": (4, 0)}, "batches"),
        ({"batches": (4, 4)}, "batches"),
        ({"rounds": 0}, "rounds: got 0"),
        ({"warmup": 0}, "warmup: got 0"),
        ({"threads": 0}, "threads: got 0"),
        ({"macs_per_image": 0}, "macs_per_image: got 0"),
        ({"reference": "b"}, "reference: got 'b'"),
        ({"baseline": "b"}, "baseline: got 'b'"),
    ],
)
def test_wrong_arguments(change: dict[str, object], message: str) -> None:
    arguments = {"candidates": [Candidate("a", "m:f")], "batches": (1,), "macs_per_image": 1}
    with pytest.raises(InvalidInput, match=message):
        run_bench(**arguments | change)  # type: ignore[arg-type]


LINUX = sys.platform == "linux"


@pytest.mark.skipif(not LINUX or usable_cpus() < 2, reason="needs Linux and 2 CPUs to pin to")
def test_busy_threads_are_pinned_each_to_its_own_cpu() -> None:
    stop = threading.Event()
    cpus: dict[int, set[int]] = {}

    rounds = [0, 0]

    def work(number: int) -> None:
        while not stop.is_set():
            sum(range(10_000))
            rounds[number] += 1
        cpus[threading.get_native_id()] = os.sched_getaffinity(0)

    everywhere = os.sched_getaffinity(0)
    threads = [threading.Thread(target=work, args=[number]) for number in range(2)]
    idle = threading.Thread(target=stop.wait)
    pinning = Pinning()
    pinning.watch()
    for thread in (*threads, idle):
        thread.start()
    try:
        while min(rounds) < 500:  # of a tenth of a millisecond or more
            time.sleep(0.01)
        assert pinning.pin() == 2
        stop.set()
        for thread in (*threads, idle):
            thread.join()
        pinned = list(cpus.values())
        assert [len(p) for p in pinned] == [1, 1]
        assert not pinned[0] & pinned[1]
    finally:
        stop.set()
        pinning.release()
    assert os.sched_getaffinity(0) == everywhere


def test_only_the_warm_up_decides_who_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []

    def note(step: str, answer: object = None) -> Callable[[object], object]:
        return lambda *_: steps.append(step) or answer  # type: ignore[func-returns-value]

    pinning = SimpleNamespace(release=note("release"), watch=note("watch"), pin=note("pin", 2))
    monkeypatch.setattr("stylert.apps.bench.worker.Pinning", lambda: pinning)
    candidate = _Candidate()
    image = np.zeros((1, 3, 4, 4), np.float32)
    monkeypatch.setattr(
        candidate,
        "_open",
        SimpleNamespace(
            prepare=note("prepare"), run=note("run", image), device_seconds=lambda: None
        ),
        False,
    )
    assert candidate.prepare(batch=1, warmup=1, pin=True) == {"pinned": 2}
    assert steps == ["release", "prepare", "watch", "run", "pin"]


# Statistics and JSON, on samples that are known.


def known() -> BenchResult:
    fast = ((1.0, 1.0), (3.0, 1.0), (2.0, 10.0))
    slow = ((4.0,), (8.0,), (6.0,))
    busy = ((8.0,), (12.0,), (6.0,))
    gemm = ((1e-3,), (2e-3,), (9e-3,))
    equal = Difference(0.0, 0.0, math.inf, True)
    broken = Difference(math.inf, math.inf, -math.inf, False)
    return BenchResult(
        subject="known",
        macs_per_image=10**9,
        settings={"threads": 2, "nothing": 0, "no": False, "empty": ""},
        machine={"dirty": False, "commit": None, "cpus": 4},
        reference="slow",
        baseline="slow",
        gemm_shape=(1000, 1000, 1000),
        gemm=CandidateReport("gemm", "m:f"),
        candidates=(
            CandidateReport("fast", "m:f", {"a": 0}, {"device": "cpu"}, 0.0, 0.0),
            CandidateReport("slow", "m:f", {}, {"device": "cuda"}, failure="later"),
        ),
        measurements=(
            Measurement("fast", 4, fast, fast, (0.0, None, 5.0), 0, 0.0, equal, True),
            Measurement("slow", 4, slow, busy, (1.9, 2.0), 2, 12.0, broken, False),
        ),
        roofline=(Measurement("gemm", 4, gemm, gemm),),
    )


def test_statistics() -> None:
    fast, slow = known().rows()
    assert (fast.rounds, fast.calls) == (3, 6)
    assert fast.median == 1.5
    assert fast.p95 == pytest.approx(3.0 + 0.75 * 7.0)  # a quarter before the largest of six
    assert fast.images_per_second == pytest.approx(4 / 1.5)
    assert fast.speedup == pytest.approx(6.0 / 1.5)
    assert fast.speedup_by_round == pytest.approx(4.0)  # of 4, 4 and 1
    assert fast.gflops == pytest.approx(2 * 4 / 1.5)
    assert known().roofline_gflops(4) == pytest.approx(1000.0)
    assert fast.roofline_percent == pytest.approx(fast.gflops / 10)
    assert slow.roofline_percent is None  # not on the CPU
    assert slow.speedup == slow.speedup_by_round == 1.0
    assert fast.busy_cpus == 1.0
    assert slow.busy_cpus == 1.5  # of 2, 1.5 and 1


def test_disturbances() -> None:
    fast, slow = known().rows()
    assert fast.other_cpus == 2.5
    assert slow.other_cpus == pytest.approx(1.95)  # 2 of the 4 CPUs are free
    assert known().disturbances() == (
        "fast at batch 4 was disturbed: other processes used 2.5 of 4 CPUs",
    )


def test_json_keeps_zeros_and_what_json_cannot_say() -> None:
    text = known().to_json()
    document = json.loads(text)
    assert document["settings"] == {"threads": 2, "nothing": 0, "no": False, "empty": ""}
    assert document["measurements"][0]["rounds"] == [[1.0, 1.0], [3.0, 1.0], [2.0, 10.0]]
    assert document["measurements"][0]["peak_mb"] == 0.0
    assert document["measurements"][0]["difference"]["psnr_db"] == "inf"
    again = BenchResult.from_json(text)
    assert again == known()
    assert again.failures() == {"slow": "later"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Not a benchmark result"),
        ("[]", "Not a benchmark result"),
        ("{}", "Not a benchmark result"),
        ('{"schema": 4}', "got schema 4, expected 3"),
        ('{"schema": 1, "summary": []}', "Not a benchmark result"),
    ],
)
def test_json_of_something_else(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        BenchResult.from_json(text)


def test_plot_of_a_candidate_without_roofline(tmp_path: Path) -> None:
    result = replace(known(), roofline=(), baseline=None)
    plot(result, tmp_path / "bench.svg")
    assert "of GEMM" not in (tmp_path / "bench.svg").read_text()


# The bundle's own backends.


@pytest.mark.parametrize("classes", [0, 5])
def test_open_generator(bundle: Path, conditional_bundle: Path, classes: int) -> None:
    path = conditional_bundle if classes else bundle
    candidate = open_generator(bundle=path, threads=1, max_batch=6)
    candidate.prepare(6)
    options: dict[str, Any] = {"class_idx": [0, 1, 2, 3, 4, 0]} if classes else {}
    with Generator.open(path, provider="cpu", threads=1) as generator:
        expected = generator.generate(range(6), truncation_psi=0.7, output="img", **options)
    np.testing.assert_array_equal(candidate.run(), expected)
    assert candidate.device_seconds() is None
    facts = candidate.describe()
    assert (facts["device"], facts["precision"], facts["threads"]) == ("cpu", "fp32", 1)
    with pytest.raises(InvalidInput, match="max_batch=7"):
        candidate.prepare(7)
    candidate.close()


def test_open_generator_of_a_class(conditional_bundle: Path, conditional: Generator) -> None:
    candidate = open_generator(bundle=conditional_bundle, threads=1, max_batch=2, class_idx=3)
    candidate.prepare(2)
    expected = conditional.generate(range(2), truncation_psi=0.7, output="img", class_idx=3)
    np.testing.assert_allclose(candidate.run(), expected, atol=1e-5)
    candidate.close()


@pytest.mark.skipif(bool(visible_gpus()), reason="there is a GPU")
@pytest.mark.parametrize("options", [{"provider": "cuda"}, {"backend": "tensorrt"}])
def test_a_gpu_that_is_not_there_is_one_line(bundle: Path, options: dict[str, str]) -> None:
    with pytest.raises(EngineError, match="this machine shows none") as caught:
        open_generator(bundle=bundle, threads=1, max_batch=1, **{"provider": "auto", **options})
    assert "\n" not in str(caught.value)


# The GPU.


@pytest.fixture(scope="module")
def gpu_result(tmp_path_factory: pytest.TempPathFactory) -> BenchResult:
    log = tmp_path_factory.mktemp("gpu") / "log"
    return run_bench(
        [
            fake("on-cpu", log),
            fake("torch-eager-cuda", log, device="cuda"),
            fake("half", log, device="cuda", precision="fp16"),
        ],
        batches=(1, 2),
        macs_per_image=MACS,
        threads=1,
        rounds=2,
        warmup=1,
        min_seconds=0.0,
        device_gemm=fake("gemm-fp16", log, device="cuda"),
    )


def test_the_gpus_own_clock_is_reported(gpu_result: BenchResult) -> None:
    assert gpu_result.reference == gpu_result.baseline == "torch-eager-cuda"
    for row in gpu_result.rows():
        on_cpu = row.candidate == "on-cpu"
        assert row.device_median == (None if on_cpu else 1e-3 * row.batch)
        assert row.median > 0
    m = gpu_result.measurement("half", 2)
    assert m is not None
    assert m.device_rounds == ((2e-3,), (2e-3,))


def test_the_roofline_of_the_gpu(gpu_result: BenchResult) -> None:
    gflop = 2e-9 * math.prod(HALF_GEMM_SHAPE)
    assert gpu_result.device_gemm_shape == HALF_GEMM_SHAPE
    assert gpu_result.device_roofline_gflops(2) == pytest.approx(gflop / 2e-3)
    row = gpu_result.rows()[-1]
    assert row.candidate == "half"
    ours = 2e-9 * MACS * 2 / 2e-3  # GFLOP/s by the GPU's clock
    assert row.roofline_percent == pytest.approx(100 * ours / (gflop / 2e-3))
    own = gpu_result.roofline_gflops(2)
    cpu = next(row for row in gpu_result.rows() if (row.candidate, row.batch) == ("on-cpu", 2))
    assert own is not None
    assert cpu.roofline_percent == pytest.approx(100 * cpu.gflops / own)


def test_json_and_plot_of_a_gpu(gpu_result: BenchResult, tmp_path: Path) -> None:
    assert BenchResult.from_json(gpu_result.to_json()) == gpu_result
    plot(gpu_result, tmp_path / "bench.svg")
    text = (tmp_path / "bench.svg").read_text()
    assert "2.00 ms on the GPU" in text
    assert "half GEMM (8192 x 8192 x 8192)" in text


def test_json_of_schema_1_can_be_read() -> None:
    document = json.loads(known().to_json())
    for key in ("device_gemm", "device_gemm_shape", "device_roofline"):
        del document[key]
    for m in (*document["measurements"], *document["roofline"]):
        del m["device_rounds"]
        if m["difference"] is not None:
            del m["difference"]["rms"]
    assert BenchResult.from_json(json.dumps({**document, "schema": 1})) == known()


def test_a_gpu_without_its_roofline(tmp_path: Path) -> None:
    log = tmp_path / "log"
    result = run_bench(
        [fake("ours", log, device="cuda")],
        batches=(1,),
        macs_per_image=MACS,
        threads=1,
        rounds=1,
        warmup=1,
        min_seconds=0.0,
        device_gemm=fake("gemm-fp16", log, fails="raise run"),
    )
    (row,) = result.rows()
    assert (row.device_median, row.roofline_percent) == (1e-3, None)
    assert result.device_gemm is not None
    assert result.device_gemm.failure == "start: RuntimeError: two lines"
    assert result.failures() == {}
    plot(result, tmp_path / "bench.png")


def test_warnings() -> None:
    gemm = CandidateReport("gemm-fp16", "m:f", failure="no GPU")
    assert replace(known(), device_gemm=gemm).warnings() == (
        "slow: later",
        "no roofline of the GPU: no GPU",
        "fast at batch 4 was disturbed: other processes used 2.5 of 4 CPUs",
    )
