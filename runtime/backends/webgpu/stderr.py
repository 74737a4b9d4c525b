"""What Dawn, the WebGPU inside ONNX Runtime's plug-in, writes to stderr: kept from the terminal.

It tells there, and nowhere else, why it refuses an adapter.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["hear_dawn"]

_STDERR = 2
_START = re.compile(r"(?:Warning|Error): ")
_MORE = re.compile(r"( - While |    at |$)")  # what follows such a line


@contextmanager
def hear_dawn() -> Iterator[list[str]]:
    """Take what the process writes to stderr while the block runs; what others wrote goes on after.

    Yields:
        Dawn's lines, without 'Warning: ': filled when the block ends.
    """
    heard: list[str] = []
    try:
        terminal = os.dup(_STDERR)
    except OSError:  # there is no stderr
        yield heard
        return
    with tempfile.TemporaryFile() as file, os.fdopen(terminal, "wb", buffering=0) as before:
        os.dup2(file.fileno(), _STDERR)
        try:
            yield heard
        finally:
            os.dup2(terminal, _STDERR)
            file.seek(0)
            dawns, others = _split(file.read())
            heard += dawns
            before.write(others)


def _split(written: bytes) -> tuple[list[str], bytes]:
    """Dawn's words, and what others wrote."""
    dawns, others, within = list[str](), b"", False
    for line in written.splitlines(keepends=True):
        words = line.decode(errors="replace").rstrip()
        if _START.match(words):
            within = True
            dawns.append(_START.sub("", words))
        elif not (within and _MORE.match(words)):
            within = False
            others += line
    return dawns, others
