"""How long a session lives: until `close` and the last call that uses it, and never past a fork."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from stylert.runtime.backends.python_end import make_gate
from stylert.runtime.errors import EngineError
from stylert.runtime.session import Session

__all__ = ["Lifetime"]


class Lifetime:
    """Lends a session to calls, from any thread, and closes it once.

    A forked child has the memory of its parent, but neither its threads nor its GPU: there a call
    can wait forever or crash, and so can a close.

    Args:
        session: what is lent; nobody else may close it.

    Attributes:
        calls: that use the session now.
        closed: whether `close` was called; calls that began before may still run.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._process = os.getpid()
        self._gate = make_gate(self)
        self._lock = threading.Lock()  # of the two below
        self.calls = 0
        self.closed = False

    @contextmanager
    def in_use(self) -> Iterator[Session]:
        """The session for one call. If `close` comes meanwhile, the last call closes it.

        Raises:
            EngineError: it is closed, or of the process that this one was forked from.
        """
        self.refuse_after_fork()  # before the lock, which the parent may have held at the fork
        with self._gate, self._lock:
            if self.closed:
                raise EngineError("This generator is closed. Open it again: stylert.open(path)")
            self.calls += 1
        try:
            yield self._session
        finally:
            with self._lock:
                self.calls -= 1
                last = self.closed and not self.calls
            if last:
                self._session.close()

    def close(self) -> None:
        """Close the session as soon as no call uses it; in a forked child, leave it alone."""
        if os.getpid() != self._process:
            self.closed = True
            return
        with self._lock:
            unused = not self.closed and not self.calls
            self.closed = True
        if unused:
            self._session.close()

    def refuse_after_fork(self) -> None:
        """Refuse to go on in a process that was forked from the session's own.

        Raises:
            EngineError: this is such a process.
        """
        if os.getpid() != self._process:
            raise EngineError(
                f"This generator was opened in process {self._process} and is used in its fork "
                f"{os.getpid()}. Open it there, after the fork, or start processes with "
                "multiprocessing.get_context('spawn')."
            )

    def __reduce__(self) -> NoReturn:
        raise EngineError(
            "A generator cannot be copied or sent to another process: send the path of its bundle "
            "and open it there."
        )
