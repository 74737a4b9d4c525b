"""The tests of this folder without a GPU: torch on the CPU, over the stub of the driver."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
STUB = HERE.parent / "runtime" / "backends" / "fake_driver.c"


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a libcuda.so.1 that shows one GPU."""
    pytest.importorskip("cuda.core", reason="cuda-core is not installed")
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("no C compiler for the stub of libcuda.so.1")
    folder = tmp_path_factory.mktemp("stub")
    options = ["-shared", "-fPIC", "-O1", "-Wl,-soname,libcuda.so.1", "-pthread"]
    subprocess.run([compiler, *options, "-o", folder / "libcuda.so.1", STUB], check=True)
    return folder


@pytest.fixture
def run_pytest(stub: Path, tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Runs pytest where the stub's GPU is there: its exit code, and what it says."""

    def run(*arguments: object) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist",
             f"--basetemp={tmp_path / 'base'}", *map(str, arguments)],
            env={**os.environ, "LD_LIBRARY_PATH": str(stub)},
            cwd=HERE.parents[1],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    return run


def test_the_stand_in_draws_over_the_stub(run_pytest: Callable[..., tuple[int, str]]) -> None:
    files = ("test_engines.py",)
    code, said = run_pytest(*(HERE / f for f in files), "--stand-in", "--require-gpu=cuda,engines")
    assert code == 0, said
    for tested in ("engine parity", "a replay equals eager", "two threads", "refit"):
        assert f"\n{tested} " in said
