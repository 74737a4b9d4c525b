"""The ONNX Runtime backend: the provider that was asked for, or an error; never another one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from stylert.runtime import packages
from stylert.runtime.backends import open_session
from stylert.runtime.backends.onnxruntime import OnnxRuntimeSession, usable_cpus
from stylert.runtime.backends.onnxruntime_package import available_providers, tell_line
from stylert.runtime.bundle import MANIFEST, Bundle, hash_file, sealed
from stylert.runtime.errors import EngineError, MissingExtra
from stylert.runtime.feeds import Feeds
from stylert.runtime.generator import Generator

CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"
HAS_CUDA = CUDA in onnxruntime.get_available_providers()
without_cuda = pytest.mark.skipif(HAS_CUDA, reason="this ONNX Runtime has the CUDA provider")


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ONNX Runtime that lists CUDA, as onnxruntime-gpu does on a machine without a GPU."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)


@pytest.fixture
def falls_back(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """An ONNX Runtime whose sessions are on the CPU, whatever they were asked for."""
    asked = []
    real = onnxruntime.InferenceSession

    def session(path: str, options: Any, **keywords: Any) -> Any:
        asked.append((options, keywords))
        return real(path, providers=[CPU])

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    return asked


def installed(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(
        packages, "installed_version", lambda name: "1.0" if name in names else None
    )


@without_cuda
def test_cuda_that_is_not_there_is_an_error(bundle: Path, refuses: Any) -> None:
    assert available_providers() == ["cpu"]
    with refuses("provider 'cuda': ", "only ['cpu']", "stylert doctor", error=EngineError):
        Generator.open(bundle, provider="cuda")


@pytest.mark.usefixtures("listed")
def test_a_silent_fall_back_is_an_error(bundle: Path, refuses: Any, falls_back: list[Any]) -> None:
    with refuses("provider 'cuda': ", f"fell back to ['{CPU}']", error=EngineError):
        Generator.open(bundle, provider="cuda")
    ((options, keywords),) = falls_back
    options_of_cuda = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
    asked = (CUDA, {"device_id": "0", **options_of_cuda})
    assert keywords == {"providers": [asked], "enable_fallback": 0}
    assert options.get_session_config_entry("session.disable_cpu_ep_fallback") == "1"


@pytest.mark.usefixtures("listed", "falls_back")
def test_auto_says_why_it_is_not_cuda(bundle: Path) -> None:
    with Generator.open(bundle, threads=1) as generator:
        assert generator.describe()["provider"] == "cpu"
        assert generator.choice.startswith(
            "onnxruntime on cpu, fp32, 1 thread: auto, CUDA does not run here (provider 'cuda': "
        )


@without_cuda
def test_auto_without_cuda(bundle: Path) -> None:
    session, choice = open_session(Bundle.open(bundle), threads=2)
    why = "auto, this ONNX Runtime has no CUDA provider; stylert tune BUNDLE finds the fastest"
    assert choice == f"onnxruntime on cpu, fp32, 2 threads: {why} of onnxruntime and openvino"
    assert session.describe() == {
        "backend": "onnxruntime",
        "version": onnxruntime.__version__,
        "provider": "cpu",
        "threads": 2,
        "precision": "fp32",
    }


def test_two_distributions_are_an_error(
    bundle: Path, refuses: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, "onnxruntime", "onnxruntime-gpu")
    with refuses(
        "got onnxruntime and onnxruntime-gpu",
        "pip uninstall -y onnxruntime onnxruntime-gpu && "
        "pip install 'onnxruntime-gpu[cuda,cudnn]'  # or onnxruntime",
        error=MissingExtra,
    ):
        Generator.open(bundle)


def test_no_distribution_is_an_error(
    bundle: Path, refuses: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch)
    with refuses("ONNX Runtime is not installed", "[cpu]'", error=MissingExtra):
        Generator.open(bundle)


def test_an_onnxruntime_that_does_not_load_is_no_missing_one(
    bundle: Path, refuses: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(name: str) -> Any:
        raise ImportError("GLIBC_2.99 not found\nand more")

    monkeypatch.setattr(packages.importlib, "import_module", broken)
    with refuses("onnxruntime", "does not load: GLIBC_2.99 not found. ", error=MissingExtra):
        OnnxRuntimeSession(Bundle.open(bundle), provider="cpu")


def test_the_threads_are_the_ones_asked_for(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = {}
    real = onnxruntime.InferenceSession

    def session(path: str, options: Any, **keywords: Any) -> Any:
        threads[Path(path).stem] = (options.intra_op_num_threads, options.inter_op_num_threads)
        return real(path, options, **keywords)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    OnnxRuntimeSession(Bundle.open(bundle), provider="cpu", threads=3)
    assert threads == {"mapping": (1, 1), "synthesis": (3, 1)}
    OnnxRuntimeSession(Bundle.open(bundle), provider="cpu")
    assert threads["synthesis"] == (usable_cpus(), 1)


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000", 4), ("150000 100000", 2), ("20000 100000", 1), ("900000 100000", 4), ("", 4)],
)
def test_usable_cpus_follow_the_quota(
    monkeypatch: pytest.MonkeyPatch, quota: str, expected: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: quota)
    assert usable_cpus() == expected


def test_an_error_while_it_runs_is_one_line(bundle: Path, refuses: Any) -> None:
    session = OnnxRuntimeSession(Bundle.open(bundle), provider="cpu")
    wrong = {"z": np.ones((1, 3), np.float32), "truncation_psi": np.ones((1, 8), np.float32)}
    with refuses("ONNX Runtime failed: ", error=EngineError):
        session.run(("mapping",), Feeds(1, wrong), ["ws"])


@pytest.mark.parametrize("shape", [(1, 32, 32, 3), (2, 64, 32, 3), (0, 32, 32, 3)])
def test_a_graph_that_gives_another_shape_than_it_says(
    bundle_copy: Path, refuses: Any, shape: tuple[int, ...]
) -> None:
    """What an ONNX file says of its outputs binds nobody who writes one."""
    path = bundle_copy / "synthesis.onnx"
    write_constant_image(path, shape)
    manifest = json.loads((bundle_copy / MANIFEST).read_bytes())
    listed = manifest["graphs"]["synthesis"]["outputs"]
    listed[:] = [output for output in listed if output["name"] == "image"]
    entry = {"bytes": path.stat().st_size, "sha256": hash_file(path)}
    manifest["files"]["synthesis.onnx"] = entry
    (bundle_copy / MANIFEST).write_text(json.dumps(sealed(manifest)))
    with Generator.open(bundle_copy, provider="cpu", threads=1) as generator:
        got = f"image: the graph gave the shape {shape}, expected (2, 32, 32, 3)"
        with refuses(got, error=EngineError):
            generator.generate([1, 2])


def write_constant_image(path: Path, shape: tuple[int, ...]) -> None:
    """Have a synthesis graph say [N, 32, 32, 3], and give zeros of a shape."""
    model = onnx.load_model(path)
    said = ["N", 32, 32, 3]
    black = onnx.helper.make_tensor("black", onnx.TensorProto.UINT8, [1], [0])
    graph = onnx.helper.make_graph(
        [  # the shape is known at the run alone
            onnx.helper.make_node("Shape", ["ws"], ["of_ws"]),
            onnx.helper.make_node("Mul", ["of_ws", "zero"], ["zeros"]),
            onnx.helper.make_node("ReduceSum", ["zeros"], ["none"], keepdims=0),
            onnx.helper.make_node("Add", ["given", "none"], ["shape"]),
            onnx.helper.make_node("ConstantOfShape", ["shape"], ["image"], value=black),
        ],
        "another",
        model.graph.input,
        [onnx.helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, said)],
        [
            onnx.helper.make_tensor("zero", onnx.TensorProto.INT64, [1], [0]),
            onnx.helper.make_tensor("given", onnx.TensorProto.INT64, [4], shape),
        ],
    )
    model.graph.CopyFrom(graph)
    onnx.save_model(model, path)


@pytest.mark.gpu("onnxruntime")
@pytest.mark.parametrize("name", ["sg2-skip-32", "sg2-hot-64", "sg2-cond-32"])
def test_cuda_draws_what_the_cpu_draws(
    bundle_of: Callable[[str], Path], assert_backend_draws: Callable[..., None], name: str
) -> None:
    assert_backend_draws(bundle_of(name), provider="cuda")


PLACE = "[ONNXRuntimeError] : 1 : FAIL : /onnxruntime_src/core/session/bridge.cc:2251 "
CONDITION = "/src/wise.h:583 void ort::Iter::Append(int, int) axis == 1 || b was false. "


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (f"{PLACE}ort::Provider& ort::Library::Get() {PLACE[:32]}no cuBLAS.\n", "no cuBLAS."),
        (f"Status: {CONDITION}No axis: 2.\n", "Status: No axis: 2."),
        (
            "shader_helper.cc:416 GenerateSourceCode Program Transpose requires f16 (it has none).",
            "Program Transpose requires f16 (it has none).",
        ),
        ("protobuf parsing failed.", "protobuf parsing failed."),
    ],
)
def test_words_of_the_library_without_its_sources(words: str, told: str) -> None:
    assert tell_line(RuntimeError(words)) == told
