"""How a model repository is made from a bundle: all that its configurations depend on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from stylert.runtime.arguments import check_choice, check_integer, shown
from stylert.runtime.errors import InvalidInput

__all__ = ["BACKENDS", "DEVICES", "Recipe"]

BACKENDS = ("tensorrt", "onnxruntime", "python")  # as Triton calls them
DEVICES = ("gpu", "cpu")
_MOST_DELAY = 10_000.0  # milliseconds
_PREFIX = re.compile(r"[A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Recipe:
    """What was chosen and what was asked for. The repository's record holds exactly these fields.

    Raises:
        InvalidInput: a value out of range.
    """

    backend: str  # of both graphs, one of BACKENDS
    device: str  # that they run on, one of DEVICES
    precision: str  # of the synthesis: 'fp16' or 'fp32'
    max_batch: int  # images of one launch
    plans: tuple[str, ...] = ()  # names of the bundle's plans, for TensorRT
    instances: int = 1  # of both graphs, on each GPU; each has memory of its own there
    fronts: int = 2  # processes that turn requests into the inputs of the graphs
    queue_delay: float = 2.0  # milliseconds that a request waits for others to join its batch
    threads: int | None = None  # of one call on the CPU, None = all
    # Requests that wait between two models, 0 = as many as come; for servers from 25.11 on.
    max_inflight: int = 0
    version: int = 1  # of the models
    prefix: str = ""  # of the models' names, to serve several bundles at once

    def __post_init__(self) -> None:
        check_choice("backend", self.backend, BACKENDS)
        check_choice("device", self.device, DEVICES)
        check_choice("precision", self.precision, ("fp16", "fp32"))
        for name, most in (("max_batch", 1024), ("instances", 64), ("fronts", 64)):
            check_integer(name, getattr(self, name), 1, most)
        check_integer("version", self.version, 1, 2**31 - 1)
        check_integer("max_inflight", self.max_inflight, 0, 2**31 - 1)
        if self.threads is not None:
            check_integer("threads", self.threads, 1, 1024)
        delay = self.queue_delay
        if (
            isinstance(delay, bool)
            or not isinstance(delay, (int, float))
            or not (0 <= delay <= _MOST_DELAY)
        ):
            raise InvalidInput(
                f"queue_delay: got {shown(delay)}, expected 0 to {_MOST_DELAY:g} milliseconds."
            )
        if not isinstance(self.prefix, str) or not _PREFIX.fullmatch(self.prefix):
            raise InvalidInput(
                f"prefix: got {shown(self.prefix)}, expected letters, digits, - and _."
            )

    def name(self, model: str) -> str:
        """Name of a model: 'stylegan', 'front', 'mapping' or 'synthesis', with the prefix."""
        return self.prefix + model

    def to_json(self) -> dict[str, Any]:
        """The recipe as plain JSON types."""
        return {**asdict(self), "plans": list(self.plans)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Recipe:
        """The recipe of a record.

        Raises:
            ValueError: a field is missing, unknown or out of range.
        """
        try:
            return cls(**{**data, "plans": tuple(data["plans"])})
        except (KeyError, TypeError) as error:
            raise ValueError(str(error)) from None
