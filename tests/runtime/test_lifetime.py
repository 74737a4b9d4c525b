"""Sharing and ending: two generators, forks, spawned processes, and 2,000 calls without a leak."""

from __future__ import annotations

import copy
import gc
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import stylert
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import BundleError, EngineError
from stylert.runtime.generator import Generator
from stylert.runtime.lifetime import Lifetime

FORK = """
import os, sys, stylert
generator = stylert.open(sys.argv[1], provider="cpu", threads=2)
expected = generator.generate([1]).tobytes()
calls = {
    "generate": lambda: generator.generate([1]),
    "map": lambda: generator.map([[1.0] * 64]),
    "describe": generator.describe,
    "interpolate": lambda: next(generator.interpolate([1, 2])),
}
generator.lifetime._lock.acquire()  # as another thread may hold it
child = os.fork()
if child == 0:
    try:
        for name, call in calls.items():
            try:
                call()
                print(name, "drew")
            except stylert.runtime.EngineError as error:
                print(name, error)
        generator.close()
        generator.close()
        print(repr(generator), flush=True)
    finally:
        os._exit(0)
assert os.waitpid(child, 0)[1] == 0
generator.lifetime._lock.release()
assert generator.generate([1]).tobytes() == expected  # the child's close did nothing here
print(os.getpid(), child)
"""


class Closing:
    """A session that counts how often it is closed."""

    closed = 0

    def close(self) -> None:
        self.closed += 1


def draw_in_a_process(bundle: Path) -> bytes:
    with stylert.open(bundle, provider="cpu") as generator:
        return generator.generate([1, 2]).tobytes()


def test_the_last_of_many_calls_closes_once() -> None:
    session: Any = Closing()
    lifetime = Lifetime(session)
    running, go_on = threading.Barrier(9), threading.Event()

    def call() -> None:
        with lifetime.in_use() as lent:
            running.wait(30)
            assert go_on.wait(30)
            assert lent.closed == 0  # type: ignore[attr-defined]

    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(call) for _ in range(8)]
        running.wait(30)
        for _ in range(3):
            lifetime.close()
        assert lifetime.closed
        assert session.closed == 0
        go_on.set()
        for each in calls:
            each.result(30)
    assert session.closed == 1


def test_two_generators_at_once(bundle: Path, bundle_of: Callable[[str], Path]) -> None:
    """Each is closed, and opened again, while the other draws."""
    paths = [bundle, bundle_of("sg2-orig-32"), bundle]
    expected = [draw_in_a_process(path) for path in paths]
    with ThreadPoolExecutor(3) as pool:
        for _ in range(4):
            assert [*pool.map(draw_in_a_process, paths)] == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_is_refused(bundle: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", FORK, bundle], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    *refused, closed, pids = run.stdout.splitlines()
    parent, child = pids.split()
    assert [line.split()[0] for line in refused] == ["generate", "map", "describe", "interpolate"]
    for line in refused:
        assert f"opened in process {parent} and is used in its fork {child}. Open it there" in line
        assert line.endswith("multiprocessing.get_context('spawn').")
    assert closed == "<Generator stylegan2 32x32x3, closed>"


def test_spawned_processes_open_their_own(bundle: Path, generator: Generator) -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        drawn = pool.submit(draw_in_a_process, bundle).result(60)
    assert drawn == generator.generate([1, 2]).tobytes()


@pytest.mark.parametrize("send", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_generator_is_not_sent(generator: Generator, send: Any) -> None:
    for one in (generator, generator.lifetime):
        with pytest.raises(EngineError, match="send the path of its bundle and open it there"):
            send(one)


@pytest.mark.parametrize(
    "send", [lambda it: pickle.loads(pickle.dumps(it)), copy.copy, copy.deepcopy]
)
def test_a_bundle_and_its_inputs_are_sent_as_their_files(generator: Generator, send: Any) -> None:
    assert generator.bundle.directions  # what is read later is no hindrance
    bundle = send(generator.bundle)
    assert (bundle.folder, bundle.spec) == (generator.bundle.folder, generator.spec)
    assert bundle.directions.keys() == generator.directions.keys()
    feeds = send(generator.inputs).feed_seeds([1], {"truncation_psi": 0.5})
    expected = generator.inputs.feed_seeds([1], {"truncation_psi": 0.5})
    assert all(np.array_equal(feeds.rows[name], expected.rows[name]) for name in expected.rows)


def test_a_bundle_that_is_gone_is_not_sent(bundle_copy: Path) -> None:
    data = pickle.dumps(Bundle.open(bundle_copy))
    shutil.rmtree(bundle_copy)
    with pytest.raises(BundleError, match="No bundle at"):
        pickle.loads(data)


def test_2000_calls_leak_nothing(tiny_bundle: Path) -> None:
    process = psutil.Process()
    with Generator.open(tiny_bundle, provider="cpu", threads=1) as generator:
        ws = generator.styles([1])
        calls: list[Callable[[int], Any]] = [
            lambda i: generator.generate([i]),
            lambda i: generator.generate([i], noise_mode="seeded", output="img"),
            lambda i: generator.generate([i], on_device=True),
            lambda i: generator.synthesize(ws, noise_mode="none"),
            lambda i: generator.map(np.full((1, 8), i + 1, np.float32)),
        ]

        def every_second(first: int, end: int) -> None:
            for i in range(first, end, 2):
                calls[i % len(calls)](i)

        with ThreadPoolExecutor(2) as pool:
            # What stays from the first calls is no leak.
            wait([pool.submit(every_second, first, 400) for first in (0, 1)])
            gc.collect()
            memory, files, threads = process.memory_info().rss, process.num_fds(), _threads()
            done, _ = wait([pool.submit(every_second, first, 2000) for first in (0, 1)])
            gc.collect()
            assert process.memory_info().rss - memory < 2e6  # 1 kB a call
            assert (process.num_fds(), _threads()) == (files, threads)
            assert all(future.exception() is None for future in done)


def test_opening_again_and_again_leaks_nothing(bundle: Path) -> None:
    process = psutil.Process()
    for i in range(25):
        if i == 10:
            gc.collect()
            memory, files, threads = process.memory_info().rss, process.num_fds(), _threads()
        with Generator.open(bundle, provider="cpu", threads=2) as generator:
            generator.generate([1])
    gc.collect()
    assert process.memory_info().rss - memory < 15 * 200e3  # the weights alone are larger
    assert (process.num_fds(), _threads()) == (files, threads)


def _threads() -> int:
    return int(psutil.Process().num_threads())


# The first is called last, when no other thread may draw any more.
DAEMONS = """
import atexit
atexit.register(lambda: print(generator.generate(1).shape))
import sys, threading, stylert
generator = stylert.open(sys.argv[1], provider="cpu", threads=1)
drawing = threading.Barrier(3)

def draw_for_ever():
    generator.generate(1)
    drawing.wait()
    while True:
        generator.generate(1)

for _ in range(2):
    threading.Thread(target=draw_for_ever, daemon=True).start()
drawing.wait()
"""


def test_a_program_ends_while_daemon_threads_draw(bundle: Path) -> None:
    """Python would end them within ONNX Runtime, which aborts the process."""
    done = subprocess.run(
        [sys.executable, "-c", DAEMONS, bundle], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "(1, 32, 32, 3)\n"
