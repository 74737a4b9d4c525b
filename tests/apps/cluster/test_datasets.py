"""Data sets on Ray, as far as no cluster is needed: the size of actors, and who draws alike.

What runs on a cluster is in tests/apps/cluster/test_connection.py.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stylert.apps.cluster.connection import opening_on
from stylert.apps.cluster.dataset_actor import OpenedActor, ShardActor
from stylert.apps.cluster.dataset_size import ActorSize, size_actors
from stylert.apps.cluster.dataset_writing import write_dataset_on_ray
from stylert.apps.datasets import DatasetJob, Seeds, write_dataset
from stylert.apps.datasets.journal import Journal
from stylert.runtime.errors import BundleError, EngineError
from stylert.runtime.generator import Generator

HEAD = {"CPU": 4.0, "memory": 1e9}
GPUS = {"CPU": 32.0, "GPU": 8.0}


def size(*machines: dict[str, float], **options: Any) -> ActorSize:
    defaults: dict[str, Any] = {"cpus": None, "gpus": None, "threads": None, "provider": "auto"}
    return size_actors(machines, **{**defaults, **options})


def test_without_gpus_an_actor_takes_a_machine() -> None:
    assert size(HEAD, {"CPU": 16.0}) == ActorSize(4, 0)  # equal ones, of the smallest machine
    assert size(HEAD, {"CPU": 16.0}).room([HEAD, {"CPU": 16.0}]) == 5
    assert size({"CPU": 0.0}, HEAD) == ActorSize(4, 0)  # a head that only rules
    assert size(GPUS, provider="cpu") == ActorSize(32, 0)


def test_threads_are_the_cpus_of_an_actor() -> None:
    assert size(HEAD, threads=1) == ActorSize(1, 0)
    assert size(HEAD, threads=1).room([HEAD, HEAD]) == 8


def test_with_gpus_an_actor_takes_one_and_its_share_of_the_cpus() -> None:
    assert size(HEAD, GPUS) == ActorSize(4, 1)
    assert size(HEAD, GPUS).room([HEAD, GPUS]) == 8  # none on the head
    assert size(HEAD, GPUS, gpus=0.5) == ActorSize(2, 0.5)
    assert size(GPUS, gpus=0.5).room([GPUS]) == 16
    assert str(size(GPUS, gpus=0.5)) == "0.5 GPU and 2 CPUs"
    assert size(GPUS, gpus=0, cpus=2) == ActorSize(2, 0)


def test_what_no_machine_has_room_for(refuses: Callable[..., Any]) -> None:
    with refuses("room for an actor of 1 GPU and 1 CPU", "ray start", error=EngineError):
        size(HEAD, gpus=1)
    with refuses("8 CPUs", error=EngineError):
        size(HEAD, HEAD, cpus=8)
    for name, value in (("cpus", 0.0), ("gpus", -1.0), ("gpus", float("nan"))):
        with refuses(name):
            size(HEAD, **{name: value})


def test_a_session_uses_what_its_process_was_given() -> None:
    assert opening_on(cpus=4, gpus=1, backend="auto") == {"backend": "auto"}
    assert opening_on(cpus=4, gpus=0) == {"provider": "cpu", "threads": 4}
    assert opening_on(cpus=0.5, gpus=0, provider="auto") == {"provider": "cpu", "threads": 1}
    assert opening_on(cpus=4, gpus=0, threads=2, precision="fp32")["threads"] == 2
    assert opening_on(cpus=4, gpus=0, provider="cuda") == {"provider": "cuda"}


def opened(machine: str, **drawn_with: Any) -> OpenedActor:
    bundle = {"sha256": drawn_with.pop("sha256", "a" * 64)}
    description = {"settings": {}, "bundle": bundle, "drawn_with": drawn_with}
    return OpenedActor(machine, "", json.dumps(description).encode())


def test_machines_that_draw_alike_are_taken() -> None:
    opened("b", gpu="L4").check_draws_as(opened("a", gpu="L4"))


def test_another_bundle_on_a_machine_is_refused(refuses: Callable[..., Any]) -> None:
    with refuses("machine b", "on a", "bbbb", "aaaa", "Copy one bundle", error=BundleError):
        opened("b", sha256="b" * 64).check_draws_as(opened("a"))


def test_another_gpu_or_version_on_a_machine_is_refused(refuses: Callable[..., Any]) -> None:
    with refuses("machine b", "than a", "gpu is 'T4'", "'L4'"):
        opened("b", gpu="T4").check_draws_as(opened("a", gpu="L4"))
    with refuses("plans is None", "['p']"):
        opened("b").check_draws_as(opened("a", plans=["p"]))


def test_one_process_writes_a_folder_or_a_zip_file(
    tmp_path: Path, refuses: Callable[..., Any]
) -> None:
    for container in ("folder", "zip"):
        job = DatasetJob(seeds=Seeds.of(range(8)), container=container)
        with refuses("container", container, "container='webdataset'"):
            write_dataset_on_ray(tmp_path, job, tmp_path / "out", address="local")
    assert "ray" not in sys.modules or not list(tmp_path.iterdir())


# The actor without Ray: it is a plain class.


JOB = DatasetJob(seeds=Seeds.of(range(20)), container="webdataset", shard_size=8)


def actor(bundle: Path, out: Path, job: DatasetJob = JOB) -> ShardActor:
    opening = {"provider": "cpu", "threads": 1, "max_batch": 4}
    return ShardActor(str(bundle), job, str(out), encoders=1, force=False, opening=opening)


def test_actors_write_what_one_process_writes(
    bundle: Path, tmp_path: Path, contents: Callable[[Path], dict[str, bytes]]
) -> None:
    with Generator.open(bundle, provider="cpu", threads=1, max_batch=4) as generator:
        write_dataset(generator, JOB, tmp_path / "alone")
    first, second = (actor(bundle, tmp_path / "shared") for _ in range(2))
    for one in (first, second):
        one.open()
    assert first.start(False) == [0, 0, 0]
    first.write(0)
    assert first.done() == 8
    assert second.start(False) == [8, 0, 0]
    second.write(2)
    second.write(1)
    first.finish()
    assert contents(tmp_path / "shared") == contents(tmp_path / "alone")
    assert second.start(False) == [8, 8, 4]


def test_an_actor_tells_how_many_images_a_shard_has(bundle: Path, tmp_path: Path) -> None:
    one = actor(bundle, tmp_path)
    one.open()
    one.start(False)
    one.write(0)
    journal = tmp_path / "shard-000000.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.unlink()
    (tmp_path / "shard-000000.jsonl.partial").write_bytes(b"".join(lines[:3]) + b'{"file')
    assert one.start(False) == [3, 0, 0]


def test_no_bundle_on_the_machine(tmp_path: Path, refuses: Callable[..., Any]) -> None:
    with refuses("The machine", f"no bundle at {tmp_path / 'none'}", "Copy it", error=BundleError):
        actor(tmp_path / "none", tmp_path / "out").open()


def test_a_machine_that_does_not_share_the_folder(
    bundle: Path, tmp_path: Path, refuses: Callable[..., Any]
) -> None:
    here, there = actor(bundle, tmp_path / "here"), actor(bundle, tmp_path / "there")
    here.open()
    here.start(False)
    there.open()
    with refuses("does not see", "there/job.json", "all machines share"):
        there.write(0)


def test_an_actor_waits_for_one_that_is_not_quite_dead(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuses: Callable[..., Any]
) -> None:
    one = actor(bundle, tmp_path)
    one.open()
    one.start(False)
    held = Journal(tmp_path / "shard-000001.jsonl")
    monkeypatch.setattr("stylert.apps.cluster.dataset_actor.LOCK_SECONDS", 0.2)
    with refuses("another process is writing"):
        one.write(1)
    sleeps: list[float] = []

    def sleep(seconds: float) -> None:
        sleeps.append(seconds)
        held.close()

    monkeypatch.setattr("stylert.apps.cluster.dataset_actor.LOCK_SECONDS", 60.0)
    monkeypatch.setattr("time.sleep", sleep)
    one.write(1)
    assert len(sleeps) == 1
    assert one.start(False) == [0, 8, 0]
