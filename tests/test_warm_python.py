"""A process that starts with slow packages loaded is like any other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.usefixtures("warm_python"),
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere processes start as ever"),
]


def run(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    told = {"capture_output": True, "text": True, "timeout": 60, **options}
    return subprocess.run([sys.executable, *arguments], **told)  # type: ignore[call-overload,no-any-return]


def test_it_has_torch_loaded_and_nothing_of_ours() -> None:
    code = "import sys; print([name in sys.modules for name in ('torch', 'stylert')])"
    assert run("-c", code).stdout == "[True, False]\n"
    cold = run("-c", code, env={**os.environ, "OMP_NUM_THREADS": "2"})
    assert cold.stdout == "[False, False]\n"


def test_programs_and_what_they_are_given(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("value = 7")
    program = tmp_path / "program.py"
    code = "import os, sys, beside\nprint(__name__, sys.argv, os.getcwd(), os.environ['A'])\n"
    program.write_text(f"{code}print(sys.stdin.read(), beside.value, file=sys.stderr)")
    environment = {**os.environ, "A": "b", "PYTHONPATH": str(tmp_path)}
    for arguments, name in (
        ([program, "x"], str(program)),
        (["-m", "program", "x"], str(program)),
        (["-c", program.read_text(), "x"], "-c"),
    ):
        done = run(*arguments, cwd=tmp_path.parent, env=environment, input="in")
        assert done.stdout == f"__main__ {[name, 'x']} {tmp_path.parent} b\n", done.stderr
        assert (done.stderr, done.returncode) == ("in 7\n", 0)


@pytest.mark.parametrize(
    ("code", "status"),
    [("import sys; sys.exit(3)", 3), ("1 / 0", 1), ("import os; os.kill(os.getpid(), 9)", -9)],
)
def test_ends(code: str, status: int) -> None:
    done = run("-c", code)
    assert done.returncode == status
    assert ("ZeroDivisionError" in done.stderr) == (status == 1)


def test_signals_and_a_session_of_its_own() -> None:
    code = "import os, time; print(os.getpid() == os.getsid(0), flush=True); time.sleep(60)"
    command = [sys.executable, "-c", code]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, start_new_session=True, **options) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == "True\n"
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in said


def test_output_that_is_cut_off_at_its_end(tmp_path: Path) -> None:
    """What is printed is there when the process has ended."""
    with (tmp_path / "out").open("wb") as out:
        assert run("-c", "print('x' * 70000)", capture_output=False, stdout=out).returncode == 0
    assert (tmp_path / "out").stat().st_size == 70001
