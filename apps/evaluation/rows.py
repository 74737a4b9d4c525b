"""Rows of a table that grow picture by picture, in files that are mapped into memory.

A process that is killed leaves the rows that it had committed, and the next one goes on behind
them. What they are of is told beside them, so that nobody goes on with another evaluation.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from stylert.apps.datasets.pipeline import open_pipeline
from stylert.runtime.arguments import shown
from stylert.runtime.errors import InvalidInput
from stylert.runtime.files.json_files import read_json
from stylert.runtime.files.publishing import publish_bytes

__all__ = ["TOGETHER", "Rows", "fill", "round_up"]

COMMIT_SECONDS = 2.0  # that a crash may cost
MOST = 1 << 20  # bytes of what is told

TOGETHER = 8  # rows of a part, about: so many pictures a feature network sees at a time
WAITING = 2  # drawn and not yet seen, at most

Part = TypeVar("Part")
Columns = Mapping[str, tuple[int, str]]  # numbers of a row, and their dtype


class Rows:
    """A table of `count` rows, of which the first `done` are there.

    Args:
        folder: where its files are; it is made if it is not there.
        name: what their names begin with.
        identity: what the rows are of, as plain JSON types.
        columns: numbers of a row and their dtype, by name.
        count: of all rows.

    Attributes:
        done: rows that are there.

    Raises:
        InvalidInput: the folder holds rows of something else.
        OSError: the disk is full, or the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        identity: Mapping[str, Any],
        columns: Columns,
        count: int,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.count = count
        self.done = 0
        self._file = folder / f"{name}.json"
        self._told = {"of": dict(identity), "columns": _plain(columns), "count": count}
        self._committed = time.monotonic()
        files = {column: folder / f"{name}.{column}.npy" for column in columns}
        self._paths = tuple(files.values())
        if self._file.exists():
            self.done = self._find_done()
        if not self.done or not all(path.is_file() for path in files.values()):
            self.done = 0
            for column, (numbers, dtype) in columns.items():
                np.lib.format.open_memmap(
                    files[column], "w+", dtype=np.dtype(dtype), shape=(count, numbers)
                ).flush()
        self._columns = {column: _map(path) for column, path in files.items()}
        for column, (numbers, dtype) in columns.items():
            there = self._columns[column]
            if (there.shape, there.dtype) != ((count, numbers), np.dtype(dtype)):
                raise InvalidInput(
                    f"{files[column]}: got {there.dtype} {there.shape}, expected {dtype} "
                    f"{(count, numbers)}. It is damaged: remove the folder {folder}."
                )

    def __getitem__(self, column: str) -> np.ndarray:
        """The rows that are there: [done, numbers]; read as they are used."""
        return self._columns[column][: self.done]

    def append(self, rows: Mapping[str, np.ndarray]) -> None:
        """Take the next rows, [n, numbers] or [n] of each column."""
        n = len(next(iter(rows.values())))
        for column, values in rows.items():
            self._columns[column][self.done : self.done + n] = values.reshape(n, -1)
        self.done += n
        if self.done == self.count or time.monotonic() - self._committed > COMMIT_SECONDS:
            self.commit()

    def remove(self) -> None:
        """Remove the files."""
        for path in (self._file, *self._paths):
            path.unlink(missing_ok=True)

    def commit(self) -> None:
        """Bring the rows to the disk, and then say that they are there."""
        for column in self._columns.values():
            column.flush()
        text = json.dumps({**self._told, "done": self.done}, indent=1)
        publish_bytes(self._file, text.encode())
        self._committed = time.monotonic()

    def _find_done(self) -> int:
        try:
            told = read_json(self._file, most=MOST)
            done = told.pop("done")
            is_count = type(done) is int and 0 <= done <= self.count
        except (ValueError, KeyError, AttributeError):
            told, is_count, done = None, False, 0
        if is_count and told == json.loads(json.dumps(self._told)):
            return int(done)
        raise InvalidInput(
            f"{self._file} {_tell_difference(told, self._told)}. Choose another folder, or remove "
            "this one."
        )


def fill(
    rows: Rows,
    draw: Callable[[range], Part],
    see: Callable[[Part], Mapping[str, np.ndarray]],
    progress: Callable[[int, int], None],
    *,
    batch: int = 1,
    workers: int = 1,
) -> None:
    """Add the rows that are missing.

    One worker draws in this thread; what is drawn is seen in another while the next is drawn. Each
    of several draws and sees for itself, at the same time as the others. The order is the same.

    Args:
        rows: the table.
        draw: gives the pictures of some rows.
        see: makes the rows of them.
        progress: is called with the rows done, and all.
        batch: pictures that are drawn at a time: parts are whole batches.
        workers: threads.
    """

    def append(part: Mapping[str, np.ndarray]) -> None:
        rows.append(part)
        progress(rows.done, rows.count)

    def make(places: range) -> Mapping[str, np.ndarray]:
        return see(draw(places))

    progress(rows.done, rows.count)
    step = round_up(TOGETHER, batch)
    starts = range(rows.done, rows.count, step)
    parts = (range(start, min(start + step, rows.count)) for start in starts)
    try:
        if workers == 1:
            with open_pipeline(see, append, encoders=1, waiting=WAITING) as put_drawn:
                all(put_drawn(draw(places)) for places in parts)  # until something has failed
        else:
            with open_pipeline(
                make, append, encoders=workers, waiting=workers + 1, are_drawn=False
            ) as put:
                all(map(put, parts))
    finally:
        if rows.done:
            rows.commit()
        else:
            rows.remove()


def round_up(least: int, step: int) -> int:
    """The first multiple of a step that is not below `least`."""
    return -(-least // step) * step


def _map(path: Path) -> np.memmap[Any, Any]:
    try:
        return np.lib.format.open_memmap(path, "r+")
    except ValueError as error:
        raise InvalidInput(f"{path} is damaged ({error}). Remove its folder.") from None


def _plain(columns: Columns) -> dict[str, list[Any]]:
    return {name: [numbers, dtype] for name, (numbers, dtype) in columns.items()}


def _flatten(told: Mapping[str, Any]) -> dict[str, Any]:
    """What nested objects hold, by the names of the innermost."""
    flat: dict[str, Any] = {}
    for name, value in told.items():
        flat |= _flatten(value) if isinstance(value, dict) else {name: value}
    return flat


def _tell_difference(there: Any, now: Mapping[str, Any]) -> str:
    if not isinstance(there, dict) or not isinstance(there.get("of"), dict):
        return "is damaged"
    before, after = _flatten(there), _flatten(now)
    names = [n for n in {**after, **before} if before.get(n) != after.get(n) and n != "done"]
    told = [f"{n} {shown(before.get(n))}, now {shown(after.get(n))}" for n in names[:3]]
    return f"holds features of another evaluation: {'; '.join(told) or 'written differently'}"
