"""Which backend `auto` takes on the CPU: the one that `stylert tune` found the fastest there.

Which one that is differs by network and by processor, so nobody guesses. What was timed is noted in
this user's data folder, under a name that is made of all that decides it: the graphs, the
processor, and the versions. When one of them changes, there is no such note any more.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stylert.runtime.backends.processor import processor_features, processor_name
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import MissingExtra
from stylert.runtime.files.json_files import read_json
from stylert.runtime.files.publishing import publish_bytes
from stylert.runtime.files.user_folders import find_data_folder
from stylert.runtime.machine import usable_cpus
from stylert.runtime.packages import (
    installed_version,
    onnxruntime_distribution,
    openvino_distribution,
)

__all__ = ["DEFAULT", "Timings", "choose_on_cpu", "list_versions", "note_timings", "read_timings"]

DEFAULT = "onnxruntime"
_MAX_NOTE = 2**16  # bytes


@dataclass(frozen=True)
class Timings:
    """Seconds of one call, by backend and batch; the same batches of each."""

    seconds: Mapping[str, Mapping[int, float]]

    def speed(self, backend: str, batch: int) -> float:
        """How many times as fast as the default one a backend is; alone it is 1."""
        default = self.seconds.get(DEFAULT, self.seconds[backend])
        return default[batch] / self.seconds[backend][batch]

    @property
    def fastest(self) -> str:
        """The fastest over all batches, of those that are no slower than the default in any."""
        overall = {
            backend: math.prod(self.speed(backend, batch) for batch in seconds)
            for backend, seconds in self.seconds.items()
            if all(self.speed(backend, batch) >= 1 for batch in seconds)
        }
        return max(overall, key=lambda backend: overall[backend])

    def tell(self) -> str:
        """What was found, for `Generator.choice`."""
        told = [
            f"{backend} "
            + ", ".join(f"{self.speed(backend, batch):.2f}x at batch {batch}" for batch in seconds)
            for backend, seconds in self.seconds.items()
            if backend != DEFAULT
        ]
        return f"chosen by stylert tune, against {DEFAULT}: {'; '.join(told)}"


def list_versions() -> dict[str, str]:
    """The versions of the backends for the CPU that are installed, by name.

    Raises:
        MissingExtra: two distributions of one of them overwrite each other.
    """
    distributions = {
        "onnxruntime": onnxruntime_distribution(),
        "openvino": openvino_distribution(),
    }
    versions = {
        name: installed_version(distribution)
        for name, distribution in distributions.items()
        if distribution is not None
    }
    return {name: version for name, version in versions.items() if version is not None}


def choose_on_cpu(bundle: Bundle) -> tuple[str, str]:
    """The backend for a bundle on this processor, and why; '' where only one is installed."""
    try:
        versions = list_versions()
    except MissingExtra as error:
        return DEFAULT, str(error)
    if len(versions) == 1:
        return DEFAULT, ""
    timings = read_timings(bundle)
    if timings is None:
        names = " and ".join(versions)
        return DEFAULT, f"stylert tune BUNDLE finds the fastest of {names}"
    return timings.fastest, timings.tell()


def read_timings(bundle: Bundle) -> Timings | None:
    """What was noted of a bundle on this machine; None = nothing, or nothing that can be read."""
    try:
        note = read_json(_path(bundle), most=_MAX_NOTE)
        seconds = {
            backend: {int(batch): float(value) for batch, value in values.items()}
            for backend, values in note["seconds"].items()
            if backend in list_versions()
        }
        valid = all(0 < value < math.inf for of in seconds.values() for value in of.values())
        batches = {tuple(of) for of in seconds.values()}
        if DEFAULT in seconds and valid and len(batches) == 1 and batches != {()}:
            return Timings(seconds)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, MissingExtra):
        pass
    return None


def note_timings(bundle: Bundle, timings: Timings, *, threads: int) -> Path:
    """Note what was timed, for `auto`; gives the file.

    Raises:
        OSError: it cannot be written.
    """
    path = _path(bundle)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    note = {
        "fastest": timings.fastest,
        "seconds": {name: dict(seconds) for name, seconds in timings.seconds.items()},
        "threads": threads,
        "processor": processor_name(),
        "versions": list_versions(),
    }
    publish_bytes(path, json.dumps(note, indent=1).encode())
    return path


def _path(bundle: Bundle) -> Path:
    decides = {
        "graphs": [bundle.graph_sha256(graph) for graph in ("mapping", "synthesis")],
        "processor": processor_features(),
        "cpus": usable_cpus(),
        "versions": list_versions(),
    }
    text = json.dumps(decides, sort_keys=True)
    name = hashlib.sha256(text.encode()).hexdigest()
    return find_data_folder() / "tuned" / f"{name}.json"
