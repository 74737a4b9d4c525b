"""Processes of Python that have slow packages loaded from the start: to load torch takes seconds.

A process that serves all workers has loaded them, and nothing of ours, and forks whenever a test
starts `sys.executable`. What it forks runs its program from the first line to the interpreter's
end; standard streams, folder, environment and signals are those of any other process.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

# Not onnxruntime: it starts a thread, for which a forked process waits at its end.
PACKAGES = ("numpy", "PIL.Image", "onnx", "onnx_ir", "torch", "typer.testing")
PACKAGES += ("rich.console", "rich.table", "fastapi", "uvicorn", "pydantic")
# What is read when these packages load, or by the loader of the process.
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
LOADER = ("LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONHOME", "PYTHONOPTIMIZE", "PYTHONWARNINGS")
HOLD, START = b"h", b"s"  # what a connection is for
NUMBER = struct.Struct("i")


def start_server(address: Path) -> None:
    """Have a server listen at an address, until nobody holds it."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(address))
    listening.listen(64)
    with listening:
        subprocess.Popen(
            [sys.executable, __file__, str(listening.fileno())],
            pass_fds=[listening.fileno()],
            env=os.environ | THREADS,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        ).returncode = 0  # nobody waits for it


def hold_server(address: Path) -> socket.socket:
    """Keep the server there until the connection is closed."""
    held = socket.socket(socket.AF_UNIX)
    try:
        held.connect(str(address))
        held.sendall(HOLD)
    except OSError:
        held.close()
        raise
    return held


class WarmPopen(subprocess.Popen[Any]):
    """A Popen whose processes of Python are forked by the server at `address`."""

    address: Path
    _told: socket.socket | None = None  # says the pid, and how the process ended

    def _execute_child(
        self, args: Any, executable: Any, preexec_fn: Any, close_fds: Any, pass_fds: Any,
        cwd: Any, env: Any, startupinfo: Any, creationflags: Any, shell: Any,
        p2cread: int, p2cwrite: int, c2pread: int, c2pwrite: int, errread: int, errwrite: int,
        restore_signals: bool, gid: Any, gids: Any, uid: Any, umask: Any, start_new_session: bool,
        *rest: Any,
    ) -> None:  # fmt: skip
        environment = dict(os.environ if env is None else env)
        plain = not (preexec_fn or pass_fds or shell) and isinstance(args, list)
        ours = plain and args[0] == sys.executable and _can_be_warm(environment)
        if not ours or not self._connect():
            super()._execute_child(  # type: ignore[misc]
                args, executable, preexec_fn, close_fds, pass_fds, cwd, env, startupinfo,
                creationflags, shell, p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite,
                restore_signals, gid, gids, uid, umask, start_new_session, *rest,
            )  # fmt: skip
            return
        job = {
            "arguments": [os.fspath(arg) for arg in args[1:]],
            "folder": os.fspath(cwd or os.getcwd()),
            "environment": environment,
            "session": start_new_session,
        }
        streams = [fd if fd != -1 else at for at, fd in enumerate((p2cread, c2pwrite, errwrite))]
        assert self._told is not None
        socket.send_fds(self._told, [START], streams)
        self._told.sendall(json.dumps(job).encode() + b"\n")
        self.pid = self._hear()
        self._child_created = True
        self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)  # type: ignore[attr-defined]

    def _connect(self) -> bool:
        told = socket.socket(socket.AF_UNIX)
        try:
            told.connect(str(self.address))
        except OSError:  # it has gone, with all who held it
            told.close()
            return False
        self._told = told
        return True

    def _hear(self) -> int:
        assert self._told is not None
        said = self._told.recv(NUMBER.size, socket.MSG_WAITALL)
        return int(NUMBER.unpack(said)[0])

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if self._told is None:
            return super()._try_wait(wait_flags)  # type: ignore[misc,no-any-return]
        if wait_flags & os.WNOHANG and not select.select([self._told], [], [], 0)[0]:
            return 0, 0
        status = self._hear()
        self._told.close()
        return self.pid, status

    def _internal_poll(self, *arguments: Any, **options: Any) -> int | None:
        if self._told is None:
            return super()._internal_poll(*arguments, **options)  # type: ignore[misc,no-any-return]
        if self.returncode is None:
            pid, status = self._try_wait(os.WNOHANG)
            if pid:
                self._handle_exitstatus(status)  # type: ignore[attr-defined]
        return self.returncode


def _can_be_warm(environment: Mapping[str, str]) -> bool:
    threads = all(environment.get(name, number) == number for name, number in THREADS.items())
    return threads and all(environment.get(name) == os.environ.get(name) for name in LOADER)


# The server.


def serve(listening: socket.socket) -> dict[str, Any]:
    """Fork for whoever connects. Returns in what was forked: what it is to run."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for what it forks
    held: list[socket.socket] = []
    while True:
        for ready in select.select([listening, *held], [], [])[0]:
            if ready is not listening:  # its holder has gone
                held.remove(ready)
                ready.close()
                if not held:
                    os._exit(0)
                continue
            asked, _ = listening.accept()
            what, streams, *_ = socket.recv_fds(asked, 1, 3)
            if what == HOLD:
                held.append(asked)
                continue
            if what == START and not os.fork():
                for one in (listening, *held):
                    one.close()
                return _start(asked, streams)
            asked.close()
            for stream in streams:
                os.close(stream)


def _start(asked: socket.socket, streams: list[int]) -> dict[str, Any]:
    """Fork once more, and tell how that one ends. Returns there."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with asked.makefile("rb") as lines:
        job: dict[str, Any] = json.loads(lines.readline())
    if process := os.fork():
        for stream in streams:
            os.close(stream)
        with contextlib.suppress(OSError):  # who asked may have gone
            asked.sendall(NUMBER.pack(process))
            asked.sendall(NUMBER.pack(os.waitpid(process, 0)[1]))
        os._exit(0)
    asked.close()
    for at, stream in enumerate(streams):
        os.dup2(stream, at)
        os.close(stream)
    return job


def run(job: dict[str, Any]) -> None:
    """Run a program as `python ARGUMENTS` does."""
    if job["session"]:
        os.setsid()
    # A shell's background job ignores the first, and what nohup starts the second.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.chdir(job["folder"])
    os.environ.clear()
    os.environ.update(job["environment"])
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[1:1] = [path for path in paths if path and path not in sys.path]
    first, *rest = job["arguments"]
    if first == "-c":
        sys.argv, sys.path[0] = ["-c", *rest[1:]], ""
        sys.modules["__main__"] = main = ModuleType("__main__")
        exec(compile(rest[0], "<string>", "exec"), main.__dict__)
    elif first == "-m":
        sys.argv, sys.path[0] = rest, job["folder"]
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[0] = [first, *rest], os.path.dirname(first)
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    for package in PACKAGES:
        with contextlib.suppress(ImportError):
            importlib.import_module(package)
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as server:
        order = serve(server)
    run(order)
