"""One worker process of the benchmark, and the parent's handle on it: both ends of the pipe.

A candidate lives alone in a fresh interpreter, so its peak memory, start-up time and thread pool
are its own. Orders and replies are lines of JSON: unlike pickles they never make the parent import
what a worker uses. A worker computes only when it is told to, and ends when its parent is gone.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import math
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from stylert.apps.bench.candidates import Candidate, OpenCandidate
from stylert.apps.bench.machine import machine_cpu_seconds
from stylert.apps.bench.pinning import Pinning
from stylert.runtime.errors import InvalidInput, StylertError

__all__ = ["Worker", "WorkerFailed", "serve"]

THREAD_VARIABLES = (  # read by the pools of OpenMP, MKL, OpenBLAS and Accelerate when they load
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
WARMUP_SECONDS = 10.0  # enough warm-up, also for a model that takes seconds per call
SETTLE_STEP = 0.01  # seconds between two looks at the CPU time
SETTLE_SECONDS = 1.0  # at most, for thread pools to fall asleep
CLOSE_SECONDS = 10.0  # for a polite end; then the worker is killed


class WorkerFailed(Exception):
    """A candidate failed in its worker, or took the worker down. The message is one line."""


class Worker:
    """The parent's end: starts a worker process, gives it orders, and ends it."""

    def __init__(self, candidate: Candidate, *, threads: int, log: Path):
        """Start the process. It imports nothing of the candidate before `open`.

        Args:
            candidate: What the worker will open.
            threads: For the thread pools, by environment variable and by argument.
            log: A new file, for everything that the worker prints.
        """
        self.candidate = candidate
        self._threads = threads
        self._log = log
        self._started = time.perf_counter()
        # The parent's sys.path, so that both import the same stylert.
        code = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; serve()"
        with log.open("wb") as log_file:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log_file,
                env=os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads)),
                start_new_session=True,  # Ctrl-C is for the parent, which ends the whole group
            )
        self._replies: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._collect, daemon=True)
        self._reader.start()

    def open(self, *, batch: int, timeout: float) -> tuple[dict[str, Any], float]:
        """Open the candidate and make its first images.

        Returns:
            Its description, and the seconds from the start of the process to those images.

        Raises:
            WorkerFailed: The candidate did not open.
        """
        reply = self.ask(
            "open",
            timeout=timeout,
            factory=self.candidate.factory,
            options=dict(self.candidate.options) | {"threads": self._threads},
            batch=batch,
        )
        elapsed = time.perf_counter() - self._started
        return reply["description"], elapsed - reply["settle_seconds"]

    def ask(self, order: str, *, timeout: float, **arguments: Any) -> dict[str, Any]:
        """Give an order (a method of `_Candidate` below), and wait for its reply.

        Raises:
            WorkerFailed: The candidate raised, the process died, or `timeout` seconds have passed.
        """
        line = json.dumps({"order": order, "arguments": arguments}, default=os.fspath)
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise WorkerFailed(self._obituary()) from None
        reply: dict[str, Any] = json.loads(self._wait(order, timeout))
        if "error" in reply:
            raise WorkerFailed(reply["error"])
        return reply

    def close(self) -> None:
        """End the process: politely if it answers, and with all that it started if it does not."""
        try:
            self.ask("close", timeout=CLOSE_SECONDS)
            self._process.wait(CLOSE_SECONDS)
        except (WorkerFailed, subprocess.TimeoutExpired):
            pass
        self.kill()

    def kill(self) -> None:
        """End the process now, with all that it started (compilers, for one)."""
        if self._process.poll() is None:
            _kill_group(self._process.pid)
            self._process.kill()
        self._process.wait()
        self._reader.join(CLOSE_SECONDS)
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # an order that nobody took
            self._process.stdin.close()

    def _collect(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as pipe:
            for line in pipe:
                self._replies.put(line)
        self._replies.put(b"")  # the worker is gone

    def _wait(self, order: str, timeout: float) -> bytes:
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            try:
                line = self._replies.get(timeout=min(left, 1.0))
            except queue.Empty:
                if self._process.poll() is None:
                    continue
                line = b""  # its children may still hold the pipe open
            if not line:
                raise WorkerFailed(self._obituary())
            return line
        raise WorkerFailed(f"no answer to '{order}' within {timeout:g} s")

    def _obituary(self) -> str:
        """Say how the process ended, with the last thing that it printed."""
        try:
            code = self._process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            return "the worker process hangs: it closed its pipe, but did not end"
        cause = f"exit code {code}"
        if code < 0:
            cause = f"signal {signal.Signals(-code).name}"
            if code == -getattr(signal, "SIGKILL", 9):
                cause += " (out of memory?)"
        printed = self._log.read_text(errors="replace").split("\n")
        last = next((line for line in reversed(printed) if line.strip()), "")
        return _one_line(f"the worker process ended with {cause}" + (last and f": {last}"))


def serve() -> None:
    """Be the worker: carry out the orders that come on stdin, answer on stdout, until 'close'."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    order_pipe, reply_pipe = _take_standard_streams()
    orders: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    # A thread reads, so that the worker ends at once with its parent, whatever it is doing.
    threading.Thread(target=_read_orders, args=(order_pipe, orders), daemon=True).start()
    candidate = _Candidate()
    while True:
        order = orders.get()
        try:
            method: Callable[..., dict[str, Any]] = getattr(candidate, order["order"])
            reply = method(**order["arguments"])
            reply["settle_seconds"] = _settle()
        except BaseException as error:  # whatever a candidate raises is its failure
            reply = {"error": _reason(error)}
        reply_pipe.write(json.dumps(reply, default=str).encode() + b"\n")
        reply_pipe.flush()
        if order["order"] == "close":
            return


class _Candidate:
    """The worker's end: each method is an order, and returns its reply."""

    def __init__(self) -> None:
        self._open: OpenCandidate
        self._batch = 0
        self._seconds = 0.0  # of a warm call
        self._cpu_seconds = 0.0  # of the last call, in all threads together
        self._device_seconds: float | None = None  # of the last call, None = not on a GPU
        self._pinning = Pinning()
        self._image: NDArray[np.float32] | None = None

    def open(self, *, factory: str, options: Mapping[str, Any], batch: int) -> dict[str, Any]:
        self._open = _load_factory(factory)(**options)
        self._prepare(batch)
        self._call()
        return {"description": dict(self._open.describe())}

    def prepare(self, *, batch: int, warmup: int, pin: bool) -> dict[str, Any]:
        self._pinning.release()
        if batch != self._batch:
            self._prepare(batch)
        self._pinning.watch()  # not before: a compiler would make the pool's threads look idle
        spent = 0.0
        for _ in range(warmup):
            self._seconds = self._call()
            spent += self._seconds
            if spent > WARMUP_SECONDS:
                break
        return {"pinned": self._pinning.pin() if pin else 0}

    def turn(self, *, min_seconds: float) -> dict[str, Any]:
        if self._seconds < min_seconds:
            self._call()  # the others have cooled the caches, and a short call would show it
        seconds: list[float] = []
        cpu_seconds: list[float] = []
        device_seconds: list[float | None] = []
        machine_start, own_start = machine_cpu_seconds(), time.process_time()
        start = time.perf_counter()
        while not seconds or sum(seconds) < min_seconds:
            seconds.append(self._call())
            cpu_seconds.append(self._cpu_seconds)
            device_seconds.append(self._device_seconds)
        elapsed = time.perf_counter() - start
        own = time.process_time() - own_start
        others = None
        if machine_start is not None and (machine := machine_cpu_seconds()) is not None:
            others = max(0.0, machine - machine_start - own) / elapsed
        return {
            "seconds": seconds,
            "cpu_seconds": cpu_seconds,
            "device_seconds": device_seconds,
            "other_cpus": others,
        }

    def finish(self, *, image: str) -> dict[str, Any]:
        assert self._image is not None
        peak_mb = _peak_mb()  # before anything is done for the report
        np.save(image, self._image)
        return {"peak_mb": peak_mb}

    def close(self) -> dict[str, Any]:
        if hasattr(self, "_open"):
            self._open.close()
        return {}

    def _prepare(self, batch: int) -> None:
        self._image = None
        self._open.prepare(batch)
        self._batch = batch

    def _call(self) -> float:
        self._image = None  # so that a call's memory is that call's
        cpu_start, start = time.process_time(), time.perf_counter()
        image = self._open.run()
        seconds = time.perf_counter() - start
        self._cpu_seconds = time.process_time() - cpu_start
        self._device_seconds = self._open.device_seconds()
        self._image = _checked(image, self._batch)
        return seconds


def _settle() -> float:
    """Wait until this process's threads sleep, so that they take nothing from the next worker.

    After a call, idle pools go on spinning: ONNX Runtime's for about 50 ms, OpenBLAS's for 100 ms.

    Returns:
        The seconds that it took.
    """
    start = time.perf_counter()
    spent = math.inf
    while spent > 0.2 * SETTLE_STEP and time.perf_counter() - start < SETTLE_SECONDS:
        before = time.process_time()
        time.sleep(SETTLE_STEP)
        spent = time.process_time() - before
    return time.perf_counter() - start


def _checked(image: object, batch: int) -> NDArray[np.float32]:
    expected = f"expected a NumPy array of float32 [{batch}, C, H, W]"
    if not isinstance(image, np.ndarray):
        raise InvalidInput(f"run() returned a {type(image).__name__}, {expected}.")
    if image.dtype != np.float32 or image.ndim != 4 or len(image) != batch:
        raise InvalidInput(f"run() returned {image.dtype} {list(image.shape)}, {expected}.")
    return image


def _load_factory(factory: str) -> Callable[..., OpenCandidate]:
    """Import 'package.module:function' or 'path/to/file.py:function'."""
    place, _, name = factory.rpartition(":")
    if place.endswith(".py"):
        spec = importlib.util.spec_from_file_location(Path(place).stem, place)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(place)
    loaded: Callable[..., OpenCandidate] = getattr(module, name)
    return loaded


def _take_standard_streams() -> tuple[IO[bytes], IO[bytes]]:
    """Keep stdin and stdout for orders and replies; what libraries print goes to stderr."""
    orders = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return orders, replies


def _read_orders(pipe: IO[bytes], orders: queue.SimpleQueue[dict[str, Any]]) -> None:
    for line in pipe:
        order = json.loads(line)
        orders.put(order)
        if order["order"] == "close":
            return
    _kill_group(os.getpid())  # the parent is gone
    os._exit(1)


def _kill_group(pid: int) -> None:
    """Kill a worker's process group. Where there is none (Windows), do nothing."""
    with contextlib.suppress(AttributeError, ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _peak_mb() -> float | None:
    """The most memory (RSS) that this process has ever held, in MB; None if nothing tells."""
    # Not getrusage on Linux: its maximum survives exec, so it may be the parent's.
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    with contextlib.suppress(ImportError):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # macOS: bytes
    with contextlib.suppress(ImportError):
        import psutil

        return float(psutil.Process().memory_info().peak_wset) / 1e6  # Windows
    return None


def _reason(error: BaseException) -> str:
    if isinstance(error, StylertError):
        return _one_line(str(error))
    return _one_line(f"{type(error).__name__}: {error}")


def _one_line(text: str, limit: int = 300) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 3] + "..."
