"""A shard that is being written: its store and its journal, always one after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from stylert.apps.datasets.job import DatasetJob
from stylert.apps.datasets.journal import Journal
from stylert.apps.datasets.records import format_line, read_record
from stylert.apps.datasets.store import Container, Store
from stylert.runtime.errors import InvalidInput

__all__ = ["Shard"]

# How often images become part of what a crash leaves: they are brought to the disk then.
COMMIT_IMAGES = 64
COMMIT_SECONDS = 1.0


class Shard:
    """Goes on with what is there of a shard. With its last image it gives its files their names.

    Attributes:
        places: of its images, among all.
        next_place: of the image that comes next.
        is_open: whether images are still to come.

    Raises:
        InvalidInput: the journal is damaged or another's, or another process writes it.
        OSError: it cannot be written.
    """

    def __init__(self, container: Container, job: DatasetJob, number: int) -> None:
        self.places = job.shard(number)
        self.next_place = self.places.start
        self._job = job
        self.is_open = True
        self._unkept = 0  # images that were begun with, and that the journal does not tell of
        self._lock = threading.Lock()  # an impatient interrupt closes while the last is appended
        self._committed = time.monotonic()
        self._journal = Journal(container.journal(number))
        try:
            self._store: Store = container.store(number)
        except BaseException:
            self._journal.close()
            raise
        try:
            self._recover()
            self._finish_if_complete()
        except BaseException:
            self._close()
            raise

    def append(self, record: Mapping[str, Any], data: bytes) -> None:
        """Write the next image: its record, and its file's bytes."""
        line = format_line(record)
        with self._lock:
            self._unkept += 1
            self._store.append(record, line, data)
            self._journal.add(line)
            self.next_place += 1
            late = time.monotonic() - self._committed >= COMMIT_SECONDS
            if late or self._journal.pending >= COMMIT_IMAGES:
                self._commit()
            self._finish_if_complete()

    def close(self) -> int:
        """Leave it to be gone on with; nothing once it is finished.

        Returns:
            how many images that `append` was called with have to be drawn again: a full disk had
            no room for them, or for their lines in the journal.
        """
        with self._lock:
            if self.is_open:
                with suppress(OSError):
                    self._commit()
                self._close()
            return self._unkept

    def _recover(self) -> None:
        """Find the images that are there whole, and cut off the rest."""
        size = 0
        for number, line in enumerate(self._journal.lines(), 1):
            try:
                if self.next_place == self.places.stop:
                    raise InvalidInput("expected no more lines.")
                record = read_record(self._job, self.next_place, line)
            except InvalidInput as error:
                raise InvalidInput(
                    f"{self._journal.partial}, line {number}: {error} The file is damaged, or of "
                    "another job. Pass force=True to start over."
                ) from None
            if not self._store.holds(record, line):
                break  # the power went away, or someone has removed it
            self.next_place += 1
            size += len(line)
        self._store.resume()
        self._journal.cut(size)

    def _commit(self) -> None:
        try:
            self._store.sync()
        except BaseException:  # the system may forget what it failed to write, and then say yes
            self._journal.forget()
            raise
        kept = self._journal.pending
        self._journal.commit()
        self._unkept -= kept
        self._committed = time.monotonic()

    def _finish_if_complete(self) -> None:
        if self.next_place == self.places.stop:
            self._commit()
            self._store.finish()
            self._journal.finish()
            self.is_open = False

    def _close(self) -> None:
        self.is_open = False
        self._store.close()
        self._journal.close()
