"""`--require-gpu` where a driver shows a GPU and nothing else is there: every skip is a failure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
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


# Runs of pytest, each in a process of its own, which has all modules from the start: to load them
# takes twenty times as long as a run.
RUNS = """
import ctypes, json, os, sys
import onnxruntime, pytest, stylert.runtime.machine
sys.modules["torch"] = None  # takes seconds to load, and is asked for its name only
for line in sys.stdin:
    out, driver, *options = json.loads(line)
    process = os.fork()
    if not process:
        for stream in (1, 2):
            os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
        if driver:
            ctypes.CDLL(driver)  # whoever looks for one of its name finds it
        code = int(pytest.main(options))
        sys.stdout.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
"""
OPTIONS = ("-ra", "-p", "no:cacheprovider")

Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def run(driver_stub: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Runs pytest on SOURCE: its exit code, and what it says. `gpu` is whether there is one."""
    folder = tmp_path_factory.mktemp("runs")
    source = 'import pytest\npytest.importorskip("tensorrt")\npytestmark = pytest.mark.gpu\n'
    files = {"conftest.py": CONFTEST, "test_source.py": SOURCE, "test_whole.py": source}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, "-c", RUNS],
        env={**os.environ, "LD_LIBRARY_PATH": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def ask(*options: str, file: str = "test_source.py", gpu: bool = True) -> tuple[int, str]:
            out = tmp_path_factory.mktemp("said") / "out"
            assert process.stdin is not None
            assert process.stdout is not None
            driver = str(driver_stub / "libcuda.so.1") if gpu else ""
            order = [str(out), driver, *OPTIONS, file, *options]
            print(json.dumps(order), file=process.stdin, flush=True)
            return int(process.stdout.readline()), out.read_text(encoding="utf-8")

        yield ask


def test_every_skip_of_a_gpu_test_is_a_failure(run: Run) -> None:
    code, said = run()
    assert (code, said.count("SKIPPED")) == (0, 4)
    code, said = run("--require-gpu")
    assert code == 1
    assert " 1 failed, 1 passed, 1 skipped, 1 xfailed, 2 errors in " in said, said
    for reason in ("tensorrt: No module named 'tensorrt'", "no model", "no batch"):
        assert f"--require-gpu: Skipped: {reason}" in said


def test_what_is_required_can_be_named(run: Run) -> None:
    code, said = run("--require-gpu=cuda,torch", "-k", "driver or engine")
    assert (code, said.count("SKIPPED")) == (0, 1), said
    assert "not here: TensorRT with its builder (tensorrt: No module named 'tensorrt')" in said


def test_a_file_that_is_skipped_as_a_whole(run: Run) -> None:
    assert run(file="test_whole.py")[0] == 5  # no tests
    code, said = run("--require-gpu", file="test_whole.py")
    assert code == 2, said
    assert "could not import 'tensorrt'" in said


@pytest.mark.parametrize("gpu", [True, False])
def test_wrong_usage(run: Run, gpu: bool) -> None:
    code, said = run("--require-gpu=cuda,tensorflow", gpu=gpu)
    assert code == 4
    assert "--require-gpu: got 'tensorflow', expected some of cuda,torch," in said
    code, said = run("--require-gpu", gpu=gpu)
    assert (code == 4) == ("got no NVIDIA GPU. Check that nvidia-smi works" in said) == (not gpu)
