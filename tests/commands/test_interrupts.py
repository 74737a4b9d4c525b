"""Signals that end a command are heard wherever they fall."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

# SIGINT is ignored in the processes of a shell that runs in the background: set it as it should be.
PROGRAM = """
import signal, sys, time
for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
    signal.signal(number, signal.SIG_DFL)
{before}
from stylert.commands.interrupts import hear_signals

def main():
    hear_signals()
    try:
        {work}
    except KeyboardInterrupt:
        print("interrupted")

main()
"""
FALLS = "signal.raise_signal(signal.{name})"
# As modules in C do: what comes out of their start is forgotten, or told as something else.
MODULES = {
    "swallows": "import signal\ntry:\n    {fall}\nexcept BaseException:\n    pass\n",
    "fails": "import signal\ntry:\n    {fall}\nexcept BaseException:\n    raise ImportError\n",
}


def run(folder: Path, work: str, before: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(work=work, before=before)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("module", MODULES)
def test_a_signal_while_a_module_loads_waits_for_it(tmp_path: Path, module: str, name: str) -> None:
    text = MODULES[module].format(fall=FALLS.format(name=name))
    (tmp_path / "loaded.py").write_text(text)
    assert run(tmp_path, "import loaded; time.sleep(60)") == "interrupted\n"


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_elsewhere_it_is_heard_at_once(tmp_path: Path, name: str) -> None:
    """Also in what itself runs as a module loads."""
    program = PROGRAM.format(work=f"{FALLS.format(name=name)}; print('goes on')", before="")
    (tmp_path / "program.py").write_text(program)
    assert run(tmp_path, "pass", "import program") == "interrupted\n"


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_what_is_ignored_stays_ignored(tmp_path: Path, name: str) -> None:
    """As under nohup, and in the background of a shell script."""
    ignoring = f"signal.signal(signal.{name}, signal.SIG_IGN)"
    assert run(tmp_path, f"{FALLS.format(name=name)}; print('goes on')", ignoring) == "goes on\n"
