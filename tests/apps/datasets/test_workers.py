"""Several threads that draw at the same time: the same files, and jobs that go on as they began."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stylert
from stylert.apps.datasets import (
    DatasetJob,
    Seeds,
    open_as_drawn,
    open_for_job,
    repair_dataset,
    verify_dataset,
    write_dataset,
)
from stylert.apps.datasets.workers import count_workers
from stylert.runtime.errors import EngineError

CONTAINERS = ("folder", "zip", "webdataset")
Contents = Callable[[Path], dict[str, bytes]]


def make_job(count: int, **options: Any) -> DatasetJob:
    return DatasetJob(seeds=Seeds.of(range(count)), **options)


def meet_in(drawer: Any, parties: int) -> Any:
    """Nobody draws on before so many do at the same time; it passes when they have met once."""
    meeting, generate = threading.Barrier(parties), drawer.generate
    met = threading.Event()

    def generate_together(seeds: list[int], **options: Any) -> np.ndarray:
        if not met.is_set():
            meeting.wait(30)
            met.set()
        return np.asarray(generate(seeds, **options))

    drawer.generate = generate_together
    return drawer


@pytest.mark.parametrize("container", CONTAINERS)
def test_workers_write_the_files_that_one_writes(
    tmp_path: Path, fake: Any, contents: Contents, container: str
) -> None:
    job = make_job(30, container=container, shard_size=12)
    write_dataset(fake(), job, tmp_path / "alone" / "out")
    told: list[int] = []
    result = write_dataset(
        meet_in(fake(), 3),
        job,
        tmp_path / "together" / "out",
        workers=3,
        progress=lambda done, total: told.append(done),
    )
    assert (result.images, result.drawn) == (30, 30)
    assert contents(tmp_path / "together") == contents(tmp_path / "alone")
    assert told == sorted(told)
    assert told[-1] == 30


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_workers_go_on_where_others_were(
    tmp_path: Path, fake: Any, contents: Contents, container: str, error: BaseException
) -> None:
    job = make_job(60, container=container, shard_size=24)
    write_dataset(fake(), job, tmp_path / "whole" / "out")
    out = tmp_path / "stopped" / "out"
    drawer = fake()
    interrupt = drawer.interrupt(16, error)
    with pytest.raises(type(error)):
        write_dataset(drawer, job, out, workers=3, progress=interrupt)
    rest = fake()
    first: list[int] = []
    result = write_dataset(
        rest, job, out, workers=2, progress=lambda done, total: first.append(done)
    )
    assert 0 < first[0] == 60 - result.drawn <= len(drawer.drawn) < 60
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")


def test_a_worker_that_fails_ends_the_job(tmp_path: Path, fake: Any, contents: Contents) -> None:
    job = make_job(400)
    drawer = fake()
    generate = drawer.generate

    def fail(seeds: list[int], **options: Any) -> np.ndarray:
        if 40 in seeds:
            raise EngineError("it is gone")
        return np.asarray(generate(seeds, **options))

    drawer.generate = fail
    with pytest.raises(EngineError, match="it is gone"):
        write_dataset(drawer, job, tmp_path / "out", workers=3)
    assert len(drawer.drawn) < 100
    assert write_dataset(fake(), job, tmp_path / "out", workers=3).drawn == 360
    write_dataset(fake(), job, tmp_path / "whole")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_no_workers_are_refused(tmp_path: Path, fake: Any, refuses: Any) -> None:
    with refuses("workers: got 0, expected an integer of 1 to 1024"):
        write_dataset(fake(), make_job(4), tmp_path / "out", workers=0)


@pytest.mark.parametrize(
    ("images", "asked", "call"),
    [
        (16, {}, (1, 2, 3)),  # threads and images of a call, and workers
        (15, {}, (3, 8, 1)),  # too few
        (8, {"max_batch": 4}, (1, 1, 3)),
        (100, {"threads": 1}, (1, 8, 1)),
        (100, {"threads": 2}, (1, 4, 2)),
        (100, {"backend": "openvino"}, (3, 8, 1)),  # its calls wait for each other
    ],
)
def test_a_bundle_is_opened_for_a_job(
    images: int, asked: dict[str, Any], call: tuple[int, ...], tiny_bundle: Path, tmp_path: Path
) -> None:
    asked = {"threads": 3, "provider": "auto", **asked}
    if asked.get("backend") == "openvino":
        pytest.importorskip("openvino")
    generator, workers = open_for_job(tiny_bundle, make_job(images), tmp_path / "out", **asked)
    with generator:
        assert (generator.describe()["threads"], generator.max_batch, workers) == call


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_a_bundle_in_8_bits_is_opened_once_for_openvino(
    backend: str, fake: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """To open it takes seconds, and warns where the processor lacks instructions for it."""
    opened: list[int] = []

    def open_fake(path: Path, *, max_batch: int, **options: Any) -> Any:
        opened.append(max_batch)
        generator = fake()
        facts = {"backend": backend, "provider": "cpu", "threads": options["threads"]}
        generator.max_batch, generator.describe = max_batch, lambda: facts
        generator.close = lambda: None
        return generator

    monkeypatch.setattr(stylert, "open", open_fake)
    _, workers = open_for_job("b", make_job(99), tmp_path / "o", precision="int8", threads=2)
    expected = ([8], 1) if backend == "openvino" else ([8, 4], 2)
    assert (opened, workers) == expected


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_job_goes_on_with_the_calls_that_it_was_begun_with(
    tiny_bundle: Path, tmp_path: Path, container: str, contents: Contents
) -> None:
    """Those of versions before 0.3 took all threads; and a machine may have more of them."""
    job = make_job(16, container=container, shard_size=8)
    with stylert.open(tiny_bundle, provider="cpu", threads=2) as generator:
        write_dataset(generator, job, tmp_path / "whole" / "out")
        with pytest.raises(KeyboardInterrupt):
            write_dataset(generator, job, tmp_path / "part" / "out", progress=interrupt_second())
    out = tmp_path / "part" / "out"
    for asked, workers in (({"threads": 2}, 1), ({"threads": 6, "max_batch": 32}, 4)):
        generator, found = open_for_job(tiny_bundle, job, out, provider="cpu", **asked)
        with generator:
            assert (generator.describe()["threads"], generator.max_batch) == (2, 8)
            assert found == workers
    generator, workers = open_for_job(tiny_bundle, job, out, provider="cpu", threads=2)
    with generator:
        write_dataset(generator, job, out, workers=workers)
    assert contents(tmp_path / "part") == contents(tmp_path / "whole")
    generator, _ = open_for_job(tiny_bundle, job, out, provider="cpu", threads=2, force=True)
    with generator:
        assert (generator.describe()["threads"], generator.max_batch) == (1, 4)


@pytest.mark.parametrize("asked", [{"threads": 1}, {"threads": 2, "max_batch": 4}])
def test_calls_that_are_not_allowed_are_refused(
    asked: dict[str, Any], tiny_bundle: Path, tmp_path: Path, refuses: Any
) -> None:
    job = make_job(16)
    with stylert.open(tiny_bundle, provider="cpu", threads=2) as generator:
        write_dataset(generator, job, tmp_path / "out")
    generator, workers = open_for_job(tiny_bundle, job, tmp_path / "out", provider="cpu", **asked)
    name, now = ("batch 8", 4) if "max_batch" in asked else ("threads 2", 1)
    with generator, refuses(f"holds another job: {name}, now {now}. "):
        write_dataset(generator, job, tmp_path / "out", workers=workers)


@pytest.mark.parametrize("damaged", [b"{", b"[]", b'{"drawn_with": {"threads": "2", "batch": 8}}'])
def test_a_damaged_job_is_left_to_those_who_write_it(
    damaged: bytes, tiny_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "job.json").write_bytes(damaged)
    generator, workers = open_for_job(tiny_bundle, make_job(16), tmp_path, threads=2)
    with generator:
        assert (generator.max_batch, workers) == (8, 1)


def test_workers_repair_what_workers_have_drawn(
    tiny_bundle: Path, tmp_path: Path, contents: Contents
) -> None:
    job, out = make_job(32), tmp_path / "out"
    generator, workers = open_for_job(tiny_bundle, job, out, provider="cpu", threads=2)
    with generator:
        write_dataset(generator, job, out, workers=workers)
    drawn = json.loads((out / "job.json").read_text())["drawn_with"]
    assert (workers, drawn["threads"], drawn["batch"]) == (2, 1, 4)
    whole = contents(out)
    for seed in (0, 3, 4, 17, 31):
        (out / f"seed{seed:04d}.png").unlink()
    with open_as_drawn(tiny_bundle, out) as generator:
        assert count_workers(generator, 2) == 2
        assert count_workers(generator, 64) == 2  # as many images at a time as there were
        assert repair_dataset(generator, verify_dataset(out)) == 5
    assert contents(out) == whole


def interrupt_second() -> Callable[[int, int], None]:
    """Progress that ends a job before its second batch."""
    calls: list[int] = []

    def interrupt(done: int, total: int) -> None:
        calls.append(done)
        if len(calls) == 2:
            raise KeyboardInterrupt

    return interrupt
