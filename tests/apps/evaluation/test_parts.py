"""Parts of an evaluation that others draw: going on, what a worker refuses, and who dies."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from stylert.apps.cluster.evaluation import PartActor
from stylert.apps.datasets import DatasetJob, Seeds
from stylert.apps.evaluation import extract_drawn, open_network
from stylert.apps.evaluation.parts import PartTask, PartWorker, extract_parts
from stylert.apps.evaluation.processes import share_out
from stylert.runtime.errors import BundleError, EngineError
from stylert.runtime.generator import Generator

JOB = DatasetJob(seeds=Seeds.of(range(600)))
OPENING = {"provider": "cpu", "threads": 1}


def test_parts_are_joined_in_their_order_whoever_went_on(
    bundle: Path, means_network: Path, tmp_path: Path
) -> None:
    network = open_network(means_network, threads=1)
    seen: list[tuple[range, ...]] = []

    def stop_early(task: PartTask) -> None:
        seen.append(task.parts)
        worker = PartWorker(replace(task, opening=OPENING))
        with worker.start():
            for number in (2, 0):
                worker.write(number)
            with pytest.raises(KeyboardInterrupt):
                worker.write(1, interrupt)
        raise KeyboardInterrupt

    def interrupt(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    def go_on(task: PartTask) -> None:
        actor = PartActor(replace(task, opening=OPENING))
        assert "onnxruntime" in actor.open().choice
        starts = []
        for number in range(3):
            actor.write(number, lambda done, total: starts.append(done))
        assert starts[:1] == [256]
        assert 0 < starts[1] < 256  # it goes on in the part that was interrupted
        assert actor.done() == 88

    with Generator.open(bundle, **OPENING) as generator:
        whole = extract_drawn(generator, JOB, network, tmp_path / "whole")
        of = (generator, JOB, network, tmp_path / "parts")
        with pytest.raises(KeyboardInterrupt):
            extract_parts(*of, stop_early, features=means_network)
        found = extract_parts(*of, go_on, features=means_network)
        assert np.array_equal(found.rows, whole.rows)
        assert np.array_equal(found.classes, whole.classes)
        again = extract_parts(*of, lambda task: pytest.fail("nothing is missing"))
    assert np.array_equal(again.rows, whole.rows)
    assert seen == [(range(256), range(256, 512), range(512, 600))]


def list_spawned() -> list[psutil.Process]:
    children = psutil.Process().children()
    return [child for child in children if "multiprocessing.spawn" in " ".join(child.cmdline())]


def test_what_a_process_refuses_and_who_dies(
    bundle: Path, means_network: Path, tmp_path: Path, refuses: Callable[..., Any]
) -> None:
    parts = (range(256), range(256, 512))
    with Generator.open(bundle, **OPENING) as generator:
        job = JOB.for_generator(generator.spec, generator.classes)
    task = PartTask(str(bundle), job, str(tmp_path / "kept"), "drawn", parts, str(means_network))
    with refuses("No bundle at", error=BundleError):
        share_out(replace(task, bundle=str(tmp_path / "none")), 1, **OPENING)
    with refuses("The machine", "has no bundle at", error=BundleError):
        PartActor(replace(task, bundle=str(tmp_path / "none"))).open()

    def kill_one(done: int, total: int) -> None:
        for child in list_spawned():
            os.kill(child.pid, signal.SIGKILL)

    with refuses("was killed", "run the same again", error=EngineError):
        share_out(task, 1, progress=kill_one, **OPENING)
    assert not list_spawned()
