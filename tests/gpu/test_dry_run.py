"""`run.sh` without a GPU: torch on the CPU, over the stub of the driver."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder with the wheel of a plugin of pytest, which says when it is loaded."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "carried-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("carried.py", 'def pytest_report_header():\n    return "it was carried"\n')
        for file, text in {
            "METADATA": "Metadata-Version: 2.1\nName: carried\nVersion: 1\n",
            "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            "RECORD": "",
        }.items():
            wheel.writestr(f"carried-1.dist-info/{file}", text)
    return folder


def test_the_stand_in_draws_over_the_stub(driver_stub: Path, wheels: Path, exports: Path) -> None:
    pytest.importorskip("cuda.core", reason="cuda-core is not installed")
    told = {"PYTHON": sys.executable, "LIMIT": "900"}  # seconds, where the machine is shared
    told["PYTEST_XDIST_WORKER"] = "dry-run"  # as one, it shares the exports beside its folder
    done = subprocess.run(
        [HERE / "run.sh", "--wheels", wheels, "-p", "carried", "-v",
         "--require-gpu=cuda,engines", f"--basetemp={exports.parent / 'dry-run'}",
         "--deselect=tests/runtime/test_machine.py::test_the_real_driver", "-p", "no:xdist",
         # Pictures of 64 pixels take torch seconds on the CPU: the networks of 32 do.
         *(f"--deselect=tests/gpu/test_engines.py::test_engine_parity[{name}-{precision}]"
           for name in ("sg2-fp16-64", "sg2-hot-64") for precision in ("fp32", "fp16"))],
        env={**os.environ, "LD_LIBRARY_PATH": str(driver_stub), **told},
        capture_output=True,
        text=True,
        timeout=1000,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert "it was carried" in lines
    for name in (
        "engine parity",
        "encoder parity",
        "a replay equals eager",
        "two threads",
        "refit",
        "memory does not grow",
        "closed memory is given back",
        "numpy does not read it",
    ):
        (line,) = [line for line in lines if line.startswith(f"{name}  ")]
        assert line.endswith(" passed"), line
    assert "not here: torch with CUDA (this torch has no CUDA)" in lines
