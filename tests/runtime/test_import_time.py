"""What the import of the runtime adds to NumPy's; test_imports.py holds that it is nothing foreign.

It is a test of modules and not of seconds. By hand the import takes 1.2 times as long as NumPy's.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Of the standard library, and slow to load: each has to wait until something needs it.
SLOW = {
    *("asyncio", "concurrent", "ctypes", "email", "http", "importlib.metadata", "inspect"),
    *("multiprocessing", "socket", "ssl", "subprocess", "tempfile", "unittest", "urllib.request"),
    *("uuid", "xml", "zipfile"),
}


def loaded_by(statement: str, cwd: Path) -> set[str]:
    code = f"{statement}\nimport sys; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


@pytest.mark.parametrize("statement", ["import stylert", "import stylert.runtime"])
def test_the_import_adds_nothing_slow(statement: str, tmp_path: Path) -> None:
    added = loaded_by(statement, tmp_path) - loaded_by("import numpy", tmp_path)
    assert "stylert.runtime.generator" in added
    assert not added & SLOW
