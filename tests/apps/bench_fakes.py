"""Candidates for the tests of the benchmark: tiny, and failing in every way there is."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylert.runtime.errors import MissingExtra


class Fake:
    def __init__(
        self,
        *,
        name: str,
        log: str,
        threads: int,
        offset: float = 0.0,  # of all pixels, from the right image
        precision: str = "fp32",
        device: str = "cpu",
        fails: str = "",
    ):
        self._name, self._log, self._threads = name, Path(log), threads
        self._offset, self._precision, self._device = offset, precision, device
        self._fails = fails  # '<how> <order>[ <batch>]'
        self._batch = 0
        self._note("open", f"{os.getpid()}")
        print("a library that prints to stdout")
        os.write(1, b"and one that writes to it\n")

    def prepare(self, batch: int) -> None:
        self._batch = batch
        self._step("prepare")

    def run(self) -> NDArray[np.float32]:
        self._step("run")
        size = 16 if self._fails == "large" else 8
        image = np.random.RandomState(self._batch).uniform(-1, 1, (self._batch, 3, size, size))
        if "float64" in self._fails:
            return image  # type: ignore[return-value]
        return (image + self._offset).astype(np.float32)

    def device_seconds(self) -> float | None:
        return None if self._device == "cpu" else 1e-3 * self._batch

    def describe(self) -> dict[str, Any]:
        blas_threads = os.environ["OPENBLAS_NUM_THREADS"]
        return {
            "device": self._device,
            "precision": self._precision,
            "threads": [self._threads, blas_threads],
        }

    def close(self) -> None:
        self._note("close")

    def _step(self, order: str) -> None:
        self._note(order, str(self._batch))
        how, _, when = self._fails.partition(" ")
        if when not in (order, f"{order} {self._batch}"):
            return
        if how == "raise":
            raise RuntimeError("two\nlines")
        if how == "die":
            os.write(2, b"segmentation fault, nearly\n")
            os._exit(3)
        if how == "hang":
            time.sleep(60)

    def _note(self, *words: str) -> None:
        with self._log.open("a") as log:
            log.write(" ".join([self._name, *words]) + "\n")


def open_fake(**options: Any) -> Fake:
    return Fake(**options)


def open_nothing(*, threads: int) -> Fake:
    raise MissingExtra("torch is not installed. Run: pip install 'stylert[export]'")
