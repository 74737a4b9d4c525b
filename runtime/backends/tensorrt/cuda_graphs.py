"""CUDA graphs: contexts that run one after the other, captured once and launched as one.

A graph holds the addresses and the state that its contexts had when it was captured. So a context
is never changed afterwards: another shape, address, batch or set of weights gets another `Program`.
"""

from __future__ import annotations

import gc
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from stylert.runtime.backends.cuda.device import Device, Graph, Stream
from stylert.runtime.backends.tensorrt.engine import BoundContext
from stylert.runtime.backends.tensorrt.package import IN_TURN
from stylert.runtime.errors import EngineError, StylertWarning

__all__ = ["GraphPolicy", "Program", "make_program"]

_CAPTURING = threading.RLock()  # one at a time: the collector is the whole process's


@dataclass
class GraphPolicy:
    """Whether CUDA graphs are used, and why. Shared by all lanes of a session."""

    enabled: bool
    why: str
    built_in: bool = False  # TensorRT-RTX captures by itself

    def give_up(self, why: str) -> None:
        """Use none from now on, and say so."""
        if self.enabled:
            self.enabled = False
            self.why = why
            warnings.warn(
                f"Without CUDA graphs from here on, which is slower: {why}",
                StylertWarning,
                stacklevel=2,
            )


class Program:
    """Contexts in their order, and the graph that launches them at once if there is one."""

    def __init__(self, contexts: Sequence[BoundContext], graph: Graph | None) -> None:
        self._contexts = list(contexts)
        self._graph = graph

    @property
    def captured(self) -> bool:
        """Whether a graph of ours launches it."""
        return self._graph is not None

    def launch(self, stream: Stream) -> None:
        """Queue it."""
        if self._graph is not None:
            self._graph.launch(stream)
        else:
            for context in self._contexts:
                context.enqueue(stream.handle)

    def free(self) -> None:
        """Free the graph, then the contexts. Neither may be running."""
        try:
            if self._graph is not None:
                self._graph.free()
        finally:
            self._graph = None
            self._contexts.clear()


def make_program(
    bind: Callable[[], Sequence[BoundContext]],
    device: Device,
    stream: Stream,
    policy: GraphPolicy,
) -> Program:
    """Bind contexts, run them once, and capture them if the policy says so.

    Args:
        bind: makes new contexts, all bound.
        device: what they run on, active.
        stream: that they run on. It is synchronised.
        policy: told if the capture fails twice; the program then runs without a graph.

    Raises:
        EngineError: the contexts do not run at all.
    """
    for _ in range(2):  # what broke one capture may have been something else of this thread
        with IN_TURN:
            contexts = bind()
            _enqueue(contexts, stream)  # what a first run sets up and compiles cannot be captured
        stream.sync()
        if not policy.enabled or policy.built_in:
            return Program(contexts, None)
        try:
            with _no_garbage_collection():
                return Program(
                    contexts, device.capture(stream, partial(_enqueue, contexts, stream))
                )
        except EngineError as error:
            reason = str(error)
    policy.give_up(reason)
    return Program(bind(), None)  # the failed capture may have left traces in the others


def _enqueue(contexts: Sequence[BoundContext], stream: Stream) -> None:
    for context in contexts:
        context.enqueue(stream.handle)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """What Python's collector frees on the GPU in this thread would make a capture invalid."""
    with _CAPTURING:
        gc.collect()
        enabled = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if enabled:
                gc.enable()
