"""`--require-gpu` where a driver shows a GPU and nothing else is there: every skip is a failure."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
# The hooks, in a folder of their own: a whole run of our tests would take its time to start.
CONFTEST = f"""
import importlib.util
spec = importlib.util.spec_from_file_location("require_gpu", {str(TESTS / "require_gpu.py")!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
pytest_addoption = module.add_options

def pytest_configure(config):
    config.addinivalue_line("markers", "gpu(*needs): needs a GPU")
    config.pluginmanager.register(module.GpuTests(config))
"""
SOURCE = """
import pytest

@pytest.mark.gpu
def test_a_driver():
    pass

@pytest.mark.gpu("tensorrt")
def test_an_engine():
    raise AssertionError("there is no TensorRT here")

@pytest.fixture
def model():
    pytest.skip("no model")

@pytest.mark.gpu
def test_a_model(model):
    pass

@pytest.mark.gpu
def test_a_batch():
    pytest.skip("no batch")

@pytest.mark.gpu
@pytest.mark.xfail(reason="known", strict=True)
def test_known():
    raise ValueError

def test_a_cpu():
    pytest.skip("no CPU")
"""


@pytest.fixture
def run(driver_stub: Path, tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Runs pytest on SOURCE: its exit code, and what it says. `gpu` is whether there is one."""
    (tmp_path / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (tmp_path / "test_source.py").write_text(SOURCE, encoding="utf-8")

    def start(*options: str, gpu: bool = True) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-ra", "-p", "no:cacheprovider", "-p", "no:xdist",
             "-p", "no:schemathesis", "-p", "no:hypothesispytest", *options],
            env={**os.environ, "LD_LIBRARY_PATH": str(driver_stub) if gpu else ""},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    return start


def test_every_skip_of_a_gpu_test_is_a_failure(run: Callable[..., tuple[int, str]]) -> None:
    code, said = run()
    assert (code, said.count("SKIPPED")) == (0, 4)
    code, said = run("--require-gpu")
    assert code == 1
    assert " 1 failed, 1 passed, 1 skipped, 1 xfailed, 2 errors in " in said, said
    for reason in ("tensorrt: No module named 'tensorrt'", "no model", "no batch"):
        assert f"--require-gpu: Skipped: {reason}" in said


def test_what_is_required_can_be_named(run: Callable[..., tuple[int, str]]) -> None:
    code, said = run("--require-gpu=cuda,torch", "-k", "driver or engine")
    assert (code, said.count("SKIPPED")) == (0, 1), said
    assert "not here: TensorRT with its builder (tensorrt: No module named 'tensorrt')" in said


def test_a_file_that_is_skipped_as_a_whole(
    run: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    source = 'import pytest\npytest.importorskip("tensorrt")\npytestmark = pytest.mark.gpu\n'
    (tmp_path / "test_whole.py").write_text(source, encoding="utf-8")
    assert run("test_whole.py")[0] == 5  # no tests
    code, said = run("test_whole.py", "--require-gpu")
    assert code == 2, said
    assert "could not import 'tensorrt'" in said


@pytest.mark.parametrize("gpu", [True, False])
def test_wrong_usage(run: Callable[..., tuple[int, str]], gpu: bool) -> None:
    code, said = run("--require-gpu=cuda,tensorflow", gpu=gpu)
    assert code == 4
    assert "--require-gpu: got 'tensorflow', expected some of cuda,torch," in said
    code, said = run("--require-gpu", gpu=gpu)
    assert (code == 4) == ("got no NVIDIA GPU. Check that nvidia-smi works" in said) == (not gpu)
