"""What all tests share: the report's header, and the fixtures."""

from __future__ import annotations

import gc
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from collections.abc import Generator as Hook
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from filelock import FileLock

from stylert.runtime.bundle import Bundle, sealed
from stylert.runtime.errors import InvalidInput, StylertError
from stylert.runtime.feeds import Feeds
from stylert.runtime.generator import Generator
from stylert.runtime.machine import visible_gpus
from stylert.runtime.proof.bundle_facts import reference_error
from stylert.runtime.proof.parity import (
    TOLERANCES,
    RoundingError,
    compare,
    judge,
    measure_excess,
)
from stylert.tests.loading import load_file

if TYPE_CHECKING:
    from stylert.export.checkpoints import Checkpoint
    from stylert.export.encoders.config import Encoder

# The goldens are so small that threads of torch cost more than they give. Read when torch loads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# torch.compile starts a pool of processes when it loads, and each loads torch.
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")

# What tests make either stays or is soon gone: to look for garbage as often as Python does by
# itself takes some hundredths of their time.
gc.set_threshold(10_000, 10, 10)

TESTS = Path(__file__).parent
EXCESS = "excess"  # the property of a test: how much of its bounds a golden's arrays take
PAGES = ("tests/apps/serving/page/", "tests/apps/web/")
REPORTED = ("numpy", "torch", "onnx", "onnxruntime", "onnxruntime-gpu", "openvino")
REPORTED += ("onnxruntime-ep-webgpu", "tensorrt", "tensorrt-rtx")


REQUIRE_GPU = load_file(TESTS / "require_gpu.py")
REQUIRE_WEBGPU = load_file(TESTS / "require_webgpu.py")


def pytest_addoption(parser: pytest.Parser) -> None:
    REQUIRE_GPU.add_options(parser)
    REQUIRE_WEBGPU.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(REQUIRE_GPU.GpuTests(config))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Hook[None, object, object]:
    """Nothing that is found becomes garbage, and to look for some takes a tenth of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_report_header() -> list[str]:
    versions = [f"{name} {_version(name)}" for name in REPORTED]
    gpus = [gpu.name for gpu in visible_gpus()]
    return [
        f"versions: python {platform.python_version()}, {', '.join(versions)}",
        f"gpus: {', '.join(gpus) or 'none'}",
    ]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    _slow_first(items)


def _slow_first(items: list[pytest.Item]) -> None:
    """Mark what slow.txt names, and move its files to the front, as they are ordered there."""
    lines = (TESTS / "slow.txt").read_text(encoding="utf-8").splitlines()
    slow = tuple(f"tests/{line}" for line in lines if not line.startswith("#"))
    files = [name.partition("::")[0] for name in slow]

    @cache
    def rank(file: str) -> int:
        return next((at for at, name in enumerate(files) if file.startswith(name)), len(files))

    for item in items:
        if item.nodeid.startswith(slow):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: rank(item.nodeid.partition("::")[0]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Files that show pages in a browser go to one worker: to start one takes seconds."""
    if config.getoption("dist") != "loadfile":
        return None  # as it was asked for
    from xdist.scheduler import LoadFileScheduling

    class OneBrowser(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "pages" if nodeid.startswith(PAGES) else super()._split_scope(nodeid)

    return OneBrowser(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The goldens that come closest to their bounds: 1 is the bound, and 1/2 fails."""
    closest = {
        report.nodeid: max(value for name, value in report.user_properties if name == EXCESS)
        for report in terminalreporter.getreports("passed")
        if report.when == "call" and any(name == EXCESS for name, _ in report.user_properties)
    }
    for nodeid in sorted(closest, key=lambda nodeid: -closest[nodeid])[:5]:
        terminalreporter.write_line(f"closest to its bounds: {closest[nodeid]:.2f} {nodeid}")


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "none"


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_is_heard() -> None:
    """A shell script that starts the tests in the background has them ignore Ctrl-C."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module", autouse=True)
def garbage_is_found_fast() -> None:
    """What is there before a file's tests stays: to look through it takes a second each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def nobody_waits_for_the_disk() -> Iterator[None]:
    """No power is cut here: what the tests write is mostly gone before it comes to the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: os.fstat(file) and None)  # a file that is open
        yield


@pytest.fixture(scope="session", autouse=True)
def waiting_threads_sleep() -> Iterator[None]:
    """ONNX Runtime's threads spin while they wait, and take the CPUs from the tests beside them."""
    import onnxruntime

    options_of = onnxruntime.SessionOptions

    def without_spinning() -> Any:
        options = options_of()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return options

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnxruntime, "SessionOptions", without_spinning)
        yield


@pytest.fixture(scope="session", autouse=True)
def commands_are_made_once() -> Iterator[None]:
    """typer makes them all again for each that is run, which takes longer than most of them."""
    from typer import main, testing

    with pytest.MonkeyPatch.context() as patch:
        made = cache(main.get_command)
        patch.setattr(main, "get_command", made)
        patch.setattr(testing, "_get_command", made)
        yield


@pytest.fixture(scope="session", autouse=True)
def the_roofline_is_small() -> Iterator[None]:
    """That of the benchmark takes longer than the candidates of all its tests."""
    from stylert.apps.bench import candidates, run

    small = candidates.Candidate("gemm", f"{TESTS / 'small_gemm.py'}:open_small_gemm")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "GEMM", small)
        yield


@pytest.fixture(scope="session", autouse=True)
def few_images_are_measured() -> Iterator[None]:
    """To draw 256 takes longer than all the rest of an export; see export/test_precision.py."""
    from stylert.export import half_rounding

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(half_rounding, "MEASURED", 16)
        yield


@pytest.fixture(scope="session", autouse=True)
def own_folders_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The record of the engines that were built is that of the tests, not that of who runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("caches")))
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        patch.delenv("STYLERT_TRUST_ENGINES", raising=False)
        yield


@pytest.fixture(scope="session")
def warm_popen(exports: Path) -> Iterator[type[subprocess.Popen[Any]]]:
    """Starts processes of Python that have torch and its like loaded. All workers share them."""
    if sys.platform != "linux":
        yield subprocess.Popen
        return
    warm = load_file(TESTS / "warm_python.py")
    address = exports / "warm"
    exports.mkdir(exist_ok=True)
    with FileLock(exports / "warm.lock"):
        try:
            held = warm.hold_server(address)
        except OSError:  # nobody has started one, or it ended with those who held it
            address.unlink(missing_ok=True)
            warm.start_server(address)
            held = warm.hold_server(address)
    warm.WarmPopen.address = address
    with held:
        yield warm.WarmPopen


@pytest.fixture
def warm_python(warm_popen: type[subprocess.Popen[Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes of Python that a test starts have torch and its like loaded."""
    monkeypatch.setattr(subprocess, "Popen", warm_popen)


@pytest.fixture(scope="session")
def driver_stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for LD_LIBRARY_PATH, with a libcuda.so.1 that shows one GPU and has none."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("no C compiler for the stub of libcuda.so.1")
    folder = tmp_path_factory.mktemp("stub")
    options = ["-shared", "-fPIC", "-O1", "-pthread", "-Wl,-soname,libcuda.so.1"]
    source = TESTS / "runtime" / "backends" / "fake_driver.c"
    subprocess.run([compiler, *options, "-o", folder / "libcuda.so.1", source], check=True)
    return folder


@pytest.fixture(scope="session")
def goldens() -> Path:
    """The checkpoints with what the official implementations draw from them."""
    return TESTS / "goldens"


@pytest.fixture(scope="session")
def refuses() -> Callable[..., AbstractContextManager[None]]:
    """A context that expects an error of exactly this kind, of one line that holds these words."""

    @contextmanager
    def context(*words: str, error: type[StylertError] = InvalidInput) -> Iterator[None]:
        with pytest.raises(error) as caught:
            yield
        message = str(caught.value)
        assert type(caught.value) is error
        assert "\n" not in message
        assert len(message.replace(tempfile.gettempdir(), "/tmp")) < 500  # wherever tests run
        for word in words:
            assert word in message, message

    return context


@pytest.fixture
def assert_same(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Asserts that arrays are the official ones, by the gates of the proof and with room to spare.

    Official arrays are another machine's float32. So what comes within a factor of 2 of gate 1 has
    to pass gate 2 by as much: `exact` gives the same arrays in float64.
    """

    def check(
        official: np.ndarray, got: np.ndarray, exact: Callable[[], np.ndarray] | None = None
    ) -> None:
        excess = measure_excess(found := compare(official, got))
        if excess > 1 / 2 and exact is not None:
            truth = exact()
            error = RoundingError.measure(truth, official)
            excess = compare(truth, got).excess(error.tolerance())
        record_property(EXCESS, excess)
        assert excess <= 1 / 2, (found, excess)

    return check


@pytest.fixture(scope="session")
def assert_backend_draws() -> Callable[..., None]:
    """Asserts that a backend draws what ONNX Runtime draws on the CPU, by the gates of the proof.

    Each layer has the w of another image, for with equal ones a layer that takes the wrong w would
    pass. And what is drawn alone is what is drawn with others.
    """

    def check(bundle: Path, *, most: float = TOLERANCES["fp32"].max_abs, **opening: Any) -> None:
        options: dict[str, Any] = {"precision": "fp32", "threads": 1}
        with (
            Generator.open(bundle, backend="onnxruntime", provider="cpu", **options) as reference,
            Generator.open(bundle, **{**options, **opening}) as generator,
        ):
            error = reference_error(generator.bundle)

            def compare_drawn(one: Any, other: Any) -> None:
                found = compare(one, other)
                assert judge(found, "fp32", error), found
                assert found.max_abs <= most, found

            chosen = {"class_idx": [0, 1, 1]} if generator.spec.c_dim else {}
            styles = [
                opened.styles([3, 4, 5], truncation_psi=0.7, truncation_cutoff=2, **chosen)
                for opened in (reference, generator)
            ]
            np.testing.assert_allclose(styles[1], styles[0], rtol=0, atol=1e-5)
            layers = range(generator.spec.num_ws)
            ws = np.stack([np.roll(styles[0], k, axis=0)[:, k] for k in layers], axis=1)
            draws: list[dict[str, Any]] = [{}]
            if generator.bundle.noise_inputs:
                draws += [{"noise_mode": "none"}, {"noise_mode": "seeded", "noise_seed": [7, 8, 9]}]
            if any(t.name == "transform" for t in generator.bundle.graphs["synthesis"].inputs):
                draws.append({"rotate": 30, "translate": (0.2, -0.1)})
            for drawing in draws:
                expected = reference.synthesize(ws, output="img", **drawing)
                compare_drawn(expected, generator.synthesize(ws, output="img", **drawing))
            alone = generator.synthesize(ws[2:], output="img")
            compare_drawn(reference.synthesize(ws, output="img")[2:], alone)

    return check


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what is exported once for all workers."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # that of the whole run
    return folder / "exports"


@pytest.fixture(scope="session")
def bundle_of(goldens: Path, exports: Path) -> Callable[[str], Path]:
    """Gives the bundle of a golden, for instance 'sg2-orig-32'. To be read only."""

    def export(name: str) -> Path:
        file = next(path for path in goldens.glob(f"{name}.p*") if path.suffix in (".pkl", ".pt"))
        return _export_once(file, exports / name)

    return export


@pytest.fixture(scope="session")
def share_bundle(exports: Path) -> Callable[[str, Path], None]:
    """Has `bundle_of` give a copy of a golden's bundle that a test has exported in any case."""

    def share(name: str, bundle: Path) -> None:
        with _locked(exports / name) as out:
            if not out.exists():
                shutil.copytree(bundle, out.with_name("copy")).rename(out)

    return share


@pytest.fixture(scope="session")
def bundle(bundle_of: Callable[[str], Path]) -> Path:
    """A bundle that was verified when it was exported: 32x32, RGB. To be read only."""
    return bundle_of("sg2-skip-32")


@pytest.fixture(scope="session")
def feeds_of(bundle: Path) -> Callable[..., Feeds]:
    """Inputs of mapping and synthesis for some images, with noise as asked."""
    opened = Bundle.open(bundle)
    const = opened.read_noise()
    none = {name: np.zeros_like(array) for name, array in const.items()}

    def feeds(batch: int, *, seed: int = 0, noise: str = "const") -> Feeds:
        random = np.random.RandomState(seed)
        constants = {"const": const, "none": none}.get(noise, {})
        rows = batch if noise == "own" else 1
        fields = {
            name: random.randn(rows, *array.shape[1:]).astype(np.float32)
            for name, array in const.items()
            if not constants
        }
        z = random.randn(batch, opened.spec.z_dim).astype(np.float32)
        psi = np.full((batch, opened.spec.num_ws), 0.7, np.float32)
        return Feeds(batch, {"z": z, "truncation_psi": psi, **fields}, constants)

    return feeds


@pytest.fixture(scope="session")
def conditional_bundle(bundle_of: Callable[[str], Path]) -> Path:
    """32x32, five classes. To be read only."""
    return bundle_of("sg2-cond-32")


@pytest.fixture
def bundle_copy(bundle: Path, tmp_path: Path) -> Path:
    """A bundle of the test's own, to damage."""
    return shutil.copytree(bundle, tmp_path / "bundle")


@pytest.fixture(scope="session")
def generator(bundle: Path) -> Iterator[Generator]:
    """Unconditional, 32x32, on the CPU."""
    with Generator.open(bundle, provider="cpu") as opened:
        yield opened


@pytest.fixture(scope="session")
def named_bundle(conditional_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, whose classes have names: ant, bee, cat, dog, elk."""
    path = shutil.copytree(conditional_bundle, tmp_path_factory.mktemp("named") / "bundle")
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    manifest["classes"] = ["ant", "bee", "cat", "dog", "elk"]
    (path / "manifest.json").write_text(json.dumps(sealed(manifest)), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def conditional(conditional_bundle: Path) -> Iterator[Generator]:
    """Five classes, 32x32, on the CPU."""
    with Generator.open(conditional_bundle, provider="cpu") as opened:
        yield opened


def _export_once(checkpoint: Path, folder: Path) -> Path:
    """The bundle in a folder; who comes first exports it."""
    from stylert.export.bundle_writer import export_bundle
    from stylert.export.checkpoints import read_checkpoint

    with _locked(folder) as out:
        if not out.exists():
            export_bundle(read_checkpoint(checkpoint), out, verify_seeds=1)
    return out


@contextmanager
def _locked(folder: Path) -> Iterator[Path]:
    """Where the bundle in a folder is, or is to appear at once and whole; other workers wait."""
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        yield folder / "bundle"


@pytest.fixture(scope="session")
def make_checkpoint() -> Callable[..., Checkpoint]:
    """Makes a StyleGAN 1 or 2 of random weights, 16x16 pixels unless `changes` say otherwise."""
    from stylert.export.checkpoints.configs import CONFIGS
    from stylert.export.checkpoints.untrained import make_untrained

    def make(seed: int = 0, family: str = "stylegan2", **changes: Any) -> Checkpoint:
        fields: dict[str, Any] = {
            "z_dim": 8,
            "c_dim": 0,
            "w_dim": 8,
            "img_channels": 3,
            "const_shape": (4, 4),
            "channels": (12, 10, 8),
            "mapping_layers": 2,
            "mapping_features": 8,
        }
        return make_untrained("small", config=CONFIGS[family](**(fields | changes)), seed=seed)

    return make


@pytest.fixture(scope="session")
def tiny(make_checkpoint: Callable[..., Checkpoint]) -> Checkpoint:
    """A generator of 8x8 pixels."""
    return make_checkpoint(channels=(6, 5))


@pytest.fixture(scope="session")
def make_encoder() -> Callable[..., Encoder]:
    """Makes an encoder of 16x16 pixels, of random weights, for a num_ws and a w_dim."""
    from stylert.export.encoders.untrained import make_untrained_encoder

    return make_untrained_encoder


@pytest.fixture(scope="session")
def tiny_bundle(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of `tiny`. Read only: a test that changes it takes a copy."""
    from stylert.export.bundle_writer import export_bundle

    out = tmp_path_factory.mktemp("tiny") / "bundle"
    export_bundle(tiny, out, verify_seeds=1)
    return out


@pytest.fixture(scope="session")
def plain_bundle(
    make_checkpoint: Callable[..., Checkpoint], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """16x16, float32 only, never proven. Read only."""
    from stylert.export.bundle_writer import export_bundle

    out = tmp_path_factory.mktemp("plain") / "bundle"
    export_bundle(make_checkpoint(), out, verify_seeds=0, half="none")
    return out


@pytest.fixture(scope="session")
def int8_bundle(plain_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with an INT8 graph, all of it in 8 bits. Read only."""
    from stylert.export.int8.quantisation import quantise_bundle

    out = shutil.copytree(plain_bundle, tmp_path_factory.mktemp("int8") / "bundle")
    quantise_bundle(out, int8_floor=20)
    return out


@pytest.fixture(scope="session")
def means_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A feature network that gives the means of the channels of 12x12 pixels. Read only."""
    from stylert.export.feature_networks.layers import pool_mean
    from stylert.export.onnx_graph import GraphBuilder

    g = GraphBuilder("means")
    x = g.input("pixels", ["N", 3, 12, 12])
    g.output(pool_mean(g, x, name="features"), "features", "float32", ["N", 3])
    told = {"stylert.name": "means", "stylert.range": "0,255", "stylert.resize": "bilinear"}
    path = tmp_path_factory.mktemp("features") / "means.onnx"
    g.save(path, metadata=told)
    return path
