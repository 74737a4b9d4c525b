"""The kernels that TensorRT-RTX compiles where an engine runs, kept for the next start.

It compiles when a context first runs with a shape, which takes seconds. So one cache serves all
contexts of an engine, and lies in a file of the user's cache folder, by version, GPU and engine.
"""

from __future__ import annotations

import uuid
import warnings
from pathlib import Path
from typing import Any

from stylert.runtime.backends.tensorrt.plans import Plan, make_slug
from stylert.runtime.errors import StylertWarning
from stylert.runtime.files.publishing import publish_file
from stylert.runtime.files.user_folders import find_cache_folder

__all__ = ["RuntimeCache", "find_cache_file"]


def find_cache_file(plan: Plan, version: str, gpu: str) -> Path:
    """Where the kernels of an engine are kept.

    Args:
        plan: the engine's, whose checksum was checked.
        version: of TensorRT-RTX.
        gpu: name of the GPU.

    Raises:
        OSError: this user has no home.
    """
    return find_cache_folder() / f"rtx-{version}-{make_slug(gpu)}-{plan.sha256}.cache"


class RuntimeCache:
    """An engine's compiled kernels. It must outlive the contexts that it is attached to.

    What another driver or a damaged disk left is told and made anew. Of two processes the last one
    that compiled something new leaves its kernels; it began with those of the other, so that
    nothing is compiled for long that was kept.

    Args:
        config: an IRuntimeConfig of the engine. The device must be active.
        plan: of the engine, its checksum checked.
        version: of TensorRT-RTX.
        gpu: name of the GPU.
    """

    def __init__(self, config: Any, plan: Plan, version: str, gpu: str) -> None:
        self._cache = config.create_runtime_cache()
        self._size = 0  # of what the file holds
        self._file: Path | None = None  # None = it cannot be kept
        try:
            self._file = find_cache_file(plan, version, gpu)
            kept = self._file.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            self._give_up(error)
            return
        if self._loads(kept):
            self._size = len(kept)
        else:
            warnings.warn(
                f"The kernels kept in {self._file} are damaged, or of another driver: "
                "TensorRT-RTX compiles them anew, which takes seconds, and they are kept again.",
                StylertWarning,
                stacklevel=2,
            )

    def attach(self, config: Any) -> None:
        """Let the contexts of a runtime config use it."""
        if not config.set_runtime_cache(self._cache) and self._file is not None:
            self._give_up("TensorRT-RTX does not take its own cache")

    def save(self) -> None:
        """Keep what was compiled since. Whatever prevents that is told once, and is no error."""
        if self._file is None:
            return
        try:
            cache = self._cache
            serialized = cache.serialize()
            size = 0 if serialized is None else len(memoryview(serialized))
            if size <= self._size:
                return
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Containers that share the folder share process ids, too.
            beside = self._file.with_name(f".{self._file.name}.{uuid.uuid4().hex}.partial")
            with publish_file(self._file, beside=beside, sync=False) as partial:
                partial.write_bytes(serialized)
            self._size = size
        except Exception as error:  # of the disk, or of the bindings
            self._give_up(error)

    def _loads(self, kept: bytes) -> bool:
        cache = self._cache
        try:
            return bool(cache.deserialize(kept))  # it checks version, GPU, system and driver
        except Exception:
            return False

    def _give_up(self, why: Exception | str) -> None:
        self._file = None
        reason = " ".join(str(why).split())
        warnings.warn(
            f"Compiled kernels cannot be kept ({reason:.200}): TensorRT-RTX compiles them again at "
            "each start, which takes seconds. Set XDG_CACHE_HOME to a folder that can be written.",
            StylertWarning,
            stacklevel=2,
        )
