"""Ray: connecting to a cluster or starting one on this machine, and what its errors become.

Addresses are those of Ray: 'auto' is the cluster that this machine belongs to, 'HOST:PORT' that of
a head node; 'local' starts Ray on this machine, for as long as it is used. Needs the extra [ray].
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NoReturn

from stylert.runtime.arguments import shown
from stylert.runtime.errors import EngineError, InvalidInput, StylertError
from stylert.runtime.machine import usable_cpus
from stylert.runtime.packages import need

__all__ = ["PROXY_PATIENCE", "connected", "import_ray", "import_serve", "list_machines"]
__all__ += ["one_line", "opening_on", "raise_cause"]

LOCAL_OBJECT_STORE = 128 << 20  # bytes; images never pass through it
CONNECT_SECONDS = 5.0
# Three times: Ray's 5 s are few where all its processes start on one busy machine.
PROXY_PATIENCE = ("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "20")
STARTS = 2  # of Ray here, which gives up after half a minute; what the first one read, is read fast


@contextmanager
def connected(address: str) -> Iterator[ModuleType]:
    """Ray, connected to a cluster. A connection that the application has already is used and kept.

    Args:
        address: 'auto', 'HOST:PORT', 'ray://HOST:PORT', or 'local'.

    Raises:
        MissingExtra: Ray is not installed.
        InvalidInput: the address is none.
        EngineError: no cluster answers there, or it runs other versions of Ray or Python.
    """
    ray = import_ray()
    if ray.is_initialized():
        yield ray
        return
    _connect(ray, address)
    try:
        yield ray
    finally:
        ray.shutdown()


def import_ray() -> ModuleType:
    """Ray.

    Raises:
        MissingExtra: it is not installed.
    """
    need("ray", extra="ray")
    import ray

    module: ModuleType = ray
    return module


def import_serve() -> ModuleType:
    """Ray Serve.

    Raises:
        MissingExtra: it is not installed.
    """
    import_ray()
    with warnings.catch_warnings():
        # It declares its settings in a way that newer versions of pydantic advise against.
        warnings.simplefilter("ignore", DeprecationWarning)
        from ray import serve
    module: ModuleType = serve
    return module


def opening_on(*, cpus: float, gpus: float, **opening: Any) -> dict[str, Any]:
    """How a process of Ray opens a bundle: on what it was given of the machine, and no more.

    Args:
        cpus: that it was given; the threads of a session on the CPU.
        gpus: that it was given; with none, 'auto' means the CPU.
        opening: arguments of `Generator.open`.
    """
    if gpus or opening.get("provider", "auto") == "cuda":
        return opening
    threads = opening.get("threads") or max(1, int(cpus))
    return {**opening, "provider": "cpu", "threads": threads}


def raise_cause(error: Exception) -> NoReturn:
    """Raise what went wrong in an actor, without the trace of where it came from.

    Args:
        error: of Ray.

    Raises:
        StylertError, OSError, MemoryError: as it was raised there.
        EngineError: another one.
    """
    cause = getattr(error, "cause", None)
    if isinstance(cause, (StylertError, OSError, MemoryError)):
        raise cause from None
    raise EngineError(f"Ray: {one_line(cause or error)}") from error


def list_machines(ray: ModuleType) -> list[dict[str, float]]:
    """The resources of the machines that are there, as Ray counts them: 'CPU', 'GPU'."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def one_line(error: BaseException) -> str:
    """What an error of Ray says first: the rest is about Ray."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return _cut(lines[0] if lines else type(error).__name__)


def _connect(ray: Any, address: str) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS") or "auto"
    if address == "local":
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would tell its makers
        os.environ.setdefault(*PROXY_PATIENCE)
        options |= {
            "include_dashboard": False,
            "num_cpus": usable_cpus(),
            "object_store_memory": LOCAL_OBJECT_STORE,
        }
    elif address != "auto":
        _check_that_it_answers(address)
    for left in reversed(range(STARTS if address == "local" else 1)):
        try:
            with _keeping_our_signals():
                ray.init(address=address, **options)
            return
        except ConnectionError as error:
            raise _nobody(address) from error
        except Exception as error:  # other versions of Ray or Python; a plain one: too slow a start
            ray.shutdown()
            if not left:
                reason = _cut(" ".join(str(error).split()) or type(error).__name__)
                raise EngineError(f"Ray at {address}: {reason}") from error


@contextmanager
def _keeping_our_signals() -> Iterator[None]:
    """Ray would end the process on SIGTERM by itself."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _check_that_it_answers(address: str) -> None:
    """Refuse what is no address, and one where nobody listens: Ray would try for five minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and host and port.isdecimal() and 0 < int(port[:6]) < 65536):
        raise InvalidInput(
            f"The address of Ray: got {shown(address)}, expected auto, local, or HOST:PORT such as "
            "10.0.0.1:6379."
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except OSError:
        raise _nobody(address) from None


def _nobody(address: str) -> EngineError:
    where = "on this machine" if address == "auto" else f"at {address}"
    return EngineError(
        f"No Ray cluster {where}. Start one with: ray start --head; or pass the address local, "
        "which starts Ray here."
    )


def _cut(text: str) -> str:
    return text if len(text) <= 300 else f"{text[:297]}..."
