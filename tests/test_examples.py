"""The examples run as their first lines say, and do what they say.

Each runs in a process of its own; those that train with torch, which takes seconds to load, in this
one, where they load all of ours by themselves.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from stylert.apps.demo import WORDS
from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import Checkpoint, read_checkpoint, write_native
from stylert.export.encoders.bundling import add_encoder
from stylert.export.encoders.config import Encoder
from stylert.runtime.generator import Generator

FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(path.name for path in FOLDER.glob("*.py"))
MOST_LINES = 65
pytestmark = pytest.mark.usefixtures("warm_python")

ROUTE = """
from fastapi.testclient import TestClient
import fastapi_route

with TestClient(fastapi_route.app) as client:
    drawn = client.get("/avatars/42.png", params={"psi": 0.5})
    assert drawn.status_code == 200, drawn.text
    assert drawn.headers["content-type"] == "image/png"
    assert client.get("/avatars/-1.png").status_code == 422
    assert client.get("/avatars/1.png", params={"psi": "nan"}).status_code == 422
    assert "/avatars/{seed}.png" in client.get("/openapi.json").json()["paths"]
open("drawn.png", "wb").write(drawn.content)
"""


def run(*arguments: str | Path, cwd: Path, **environment: str) -> str:
    """What an example prints; its errors are the test's."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


Train = Callable[..., str]


@pytest.fixture
def train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Train:
    """Runs an example in this process and `tmp_path`; gives what it prints."""
    monkeypatch.chdir(tmp_path)

    def run_here(name: str, *arguments: str | Path) -> str:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        with _nothing_of_ours_loaded():
            runpy.run_path(str(FOLDER / name), run_name="__main__")
        return capsys.readouterr().out

    return run_here


@contextmanager
def _nothing_of_ours_loaded() -> Iterator[None]:
    loaded = _unload_ours()
    try:
        yield
    finally:
        _unload_ours()
        sys.modules.update(loaded)


def _unload_ours() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name.partition(".")[0] == "stylert"]
    return {name: sys.modules.pop(name) for name in names}


def needs(*packages: str) -> pytest.MarkDecorator:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_each_example_is_run_here() -> None:
    tests = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert EXAMPLES
    assert {Path(name).stem for name in EXAMPLES} <= tests


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_is_short_and_says_how_to_run_it(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    shown = ast.get_docstring(ast.parse(text)) or ""
    ways = (f"python examples/{name} BUNDLE", "uvicorn --app-dir examples", f"examples/{name}:")
    assert any(way in shown for way in ways)


def test_ten_lines(bundle: Path, generator: Generator, tmp_path: Path) -> None:
    said = run(FOLDER / "ten_lines.py", bundle, cwd=tmp_path)
    expected = generator.generate([1, 2, 3], truncation_psi=0.7)
    for seed, image in enumerate(expected, 1):
        assert np.array_equal(pixels(tmp_path / f"seed{seed}.png"), image)
    assert "seed1.png to seed3.png" in said
    code = (FOLDER / "ten_lines.py").read_text(encoding="utf-8").split('"""')[2]
    assert len([line for line in code.splitlines() if line]) <= 11  # ten, and the import of Path


def test_thread_pool(bundle: Path, generator: Generator, tmp_path: Path) -> None:
    run(FOLDER / "thread_pool.py", bundle, "--seeds", "12", "--workers", "3", cwd=tmp_path)
    written = sorted((tmp_path / "pictures").iterdir())
    expected = generator.generate(range(12), truncation_psi=0.7)
    assert len(written) == 12
    for path, image in zip(written, expected, strict=True):
        assert np.abs(pixels(path).astype(int) - image).max() <= 1  # drawn alone: by rounding


def test_processes(bundle: Path, generator: Generator, tmp_path: Path) -> None:
    said = run(FOLDER / "processes.py", bundle, "--seeds", "6", cwd=tmp_path).splitlines()
    expected = generator.generate(range(6)).mean(axis=(1, 2))
    assert [int(line.split()[0]) for line in said] == list(range(6))
    assert np.allclose([[*map(float, line.split()[1:])] for line in said], expected, atol=0.2)


@needs("torch")
def test_one_picture_style(
    tiny: Checkpoint,
    make_encoder: Callable[[int, int], Encoder],
    tmp_path: Path,
    train: Train,
) -> None:
    export_bundle(tiny, tmp_path / "bundle", verify_seeds=0, half="none")
    encoder = make_encoder(tiny.config.num_ws, tiny.config.w_dim)
    add_encoder(tmp_path / "bundle", encoder, verify=False)
    write_native(tiny, tmp_path / "tiny.safetensors")
    pixels = np.random.RandomState(0).randint(0, 256, (9, 7, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "style.png")
    words = ("bundle", "tiny.safetensors", "style.png", "out.safetensors", "--steps", "40")
    said = train("one_picture_style.py", *words)
    before, after = map(float, re.findall(r"to (\d\.\d+)", said))
    assert after < 0.8 * before
    styled = read_checkpoint(tmp_path / "out.safetensors")
    for name, tensor in tiny.tensors.items():
        kept = name.startswith("mapping.")
        assert np.array_equal(styled.tensors[name], tensor) or not kept, name
    assert not np.array_equal(
        styled.tensors["synthesis.b8.conv1.weight"], tiny.tensors["synthesis.b8.conv1.weight"]
    )


@needs("torch")
def test_text_style(tiny: Checkpoint, tmp_path: Path, train: Train) -> None:
    export_bundle(tiny, tmp_path / "bundle", verify_seeds=0, half="none")
    write_native(tiny, tmp_path / "tiny.safetensors")
    words = ("bundle", "tiny.safetensors", WORDS, "out.safetensors", "--steps", "8")
    texts = ("--neutral", "a thing", "--text", "a green thing")
    said = train("text_style.py", *words, *texts)
    before, after = map(float, re.findall(r"(?:was|is) (\d\.\d+)", said))
    assert before == 1  # both generators are the same
    assert after < 0.95
    trained = read_checkpoint(tmp_path / "out.safetensors")
    assert "from 'a thing' to 'a green thing'" in trained.notes
    changed = {n for n, t in tiny.tensors.items() if not np.array_equal(trained.tensors[n], t)}
    assert "synthesis.b8.conv1.bias" in changed
    assert all(re.fullmatch(r"synthesis\.b\d+\.conv\d\.bias", name) for name in changed)


@needs("torch")
def test_torch_zero_copy(bundle: Path, tmp_path: Path) -> None:
    said = run(FOLDER / "torch_zero_copy.py", bundle, cwd=tmp_path, CUDA_VISIBLE_DEVICES="")
    assert "images (4, 32, 32, 3) torch.uint8 on cpu\n" in said
    assert "small (4, 3, 8, 8) torch.float32 on cpu" in said
    assert said.endswith("copied: False\n")


@needs("torch")
@pytest.mark.gpu("cuda", "onnxruntime", "torch")
def test_torch_zero_copy_on_a_gpu(bundle: Path, tmp_path: Path) -> None:
    said = run(FOLDER / "torch_zero_copy.py", bundle, cwd=tmp_path)
    assert "torch.uint8 on cuda:0\n" in said
    assert "torch.float32 on cuda:0" in said


def test_asyncio_app(bundle: Path, tmp_path: Path) -> None:
    said = run(FOLDER / "asyncio_app.py", bundle, "--clients", "3", cwd=tmp_path)
    assert sorted(line[:8] for line in said.splitlines()[:3]) == [f"client {i}" for i in range(3)]
    assert "16 frames of a walk; the loop went on " in said


@needs("fastapi", "httpx2")
def test_fastapi_route(bundle: Path, generator: Generator, tmp_path: Path) -> None:
    run("-c", ROUTE, cwd=tmp_path, BUNDLE=str(bundle), PYTHONPATH=str(FOLDER))
    (expected,) = generator.generate(42, truncation_psi=0.5)
    assert np.array_equal(pixels(tmp_path / "drawn.png"), expected)


@needs("tkinter")
def test_live_view(bundle: Path, tmp_path: Path) -> None:
    arguments = (FOLDER / "live_view.py", bundle, "--frames", "70", "--offscreen")
    assert run(*arguments, cwd=tmp_path) == "70 frames\n"


@pytest.fixture
def display() -> Iterator[str]:
    """A display that nobody sees."""
    if shutil.which("Xvfb") is None:
        pytest.skip("not installed: Xvfb, a display for the tests of a window")
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "320x320x24"]
    server = subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL)
    os.close(writing)
    try:
        with os.fdopen(reading) as number:
            yield f":{number.readline().strip()}"
    finally:
        server.terminate()
        server.wait(30)


@needs("tkinter")
def test_live_view_in_a_window(bundle: Path, tmp_path: Path, display: str) -> None:
    run(FOLDER / "live_view.py", bundle, "--frames", "20", cwd=tmp_path, DISPLAY=display)


# It would load torch, where that is there, to ask whether an array is one of torch's.
POLYGRAPHY = (
    "import sys; sys.modules.update(tensorrt=None, torch=None); "
    "from polygraphy.tools import main; main()"
)


@pytest.mark.parametrize(
    ("golden", "graph"), [("sg2-cond-32", "mapping"), ("sg3-t-64", "synthesis")]
)
def test_polygraphy_feeds(
    golden: str,
    graph: str,
    bundle_of: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With classes and noise, and with a transform; docs/polygraphy.md has the demo network."""
    path = bundle_of(golden)
    words = ["run", path / f"{graph}.onnx", "--onnxrt", "--validate", "--data-loader-script"]
    script = f"{FOLDER}/polygraphy_feeds.py:feed_{graph}"
    said = run("-c", POLYGRAPHY, *words, script, cwd=tmp_path, BUNDLE=str(path))
    assert "Iteration: 3" in said
    assert "PASSED" in said
    monkeypatch.setenv("BUNDLE", str(path))
    spec = importlib.util.spec_from_file_location("feeds", FOLDER / "polygraphy_feeds.py")
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    rows = [row.tobytes() for feeds in example.feed_synthesis() for row in feeds["ws"][0]]
    assert len(set(rows)) == len(rows)  # no layer of no picture has the w of another


def test_arguments_of_polygraphy_on_a_gpu_are_read(
    bundle_of: Callable[[str], Path], tmp_path: Path
) -> None:
    """They come as far as the package that needs the GPU."""
    text = (FOLDER.parent / "docs" / "polygraphy.md").read_text(encoding="utf-8")
    blocks = re.findall(r"<!-- test: skip [^\n]*-->\n```sh\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 2
    (tmp_path / "examples").symlink_to(FOLDER)
    (tmp_path / "demo-bundle").symlink_to(bundle_of("sg2-cond-32"))
    for block in blocks:
        first, *words = shlex.split(block.replace("\\\n", " "))
        assert first == "polygraphy"
        done = subprocess.run(
            [sys.executable, "-c", POLYGRAPHY, *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert "Module: 'tensorrt' is required" in done.stdout + done.stderr, done.stderr
