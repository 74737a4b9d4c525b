"""The OpenVINO session: exact batches, what is kept, what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.external_data_helper import convert_model_to_external_data

import stylert
from stylert.runtime.backends.openvino import kept_graphs, library
from stylert.runtime.backends.openvino.compiled_graph import CompiledGraph
from stylert.runtime.backends.openvino.session import OpenVINOSession, list_batches
from stylert.runtime.bundle import MANIFEST, Bundle, hash_file, sealed
from stylert.runtime.errors import BundleError, EngineError, MissingExtra, StylertWarning
from stylert.runtime.generator import Generator
from stylert.runtime.proof.parity import compare


def opened(path: Path, **options: Any) -> Generator:
    return Generator.open(path, backend="openvino", **{"threads": 1, **options})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where compiled graphs are kept in a test, which is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "kept"))
    return tmp_path / "kept" / "stylert" / "openvino"


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What is compiled: the batch, the noise's, and the outputs."""
    found: list[tuple[Any, ...]] = []
    real = CompiledGraph._compile

    def spy(graph: CompiledGraph, *asked: Any) -> Any:
        found.append(asked)
        return real(graph, *asked)

    monkeypatch.setattr(CompiledGraph, "_compile", spy)
    return found


@pytest.fixture(scope="module")
def drawn(tiny_bundle: Path) -> np.ndarray:
    """Eleven pictures of `tiny_bundle`, by ONNX Runtime."""
    with Generator.open(tiny_bundle, backend="onnxruntime", provider="cpu", threads=1) as generator:
        return generator.generate(range(11), output="img")


def relist(bundle: Path, *names: str) -> None:
    """Have the manifest list files as they are now."""
    manifest = json.loads((bundle / MANIFEST).read_text())
    for name in names:
        file = bundle / name
        manifest["files"][name] = {"bytes": file.stat().st_size, "sha256": hash_file(file)}
    (bundle / MANIFEST).write_text(json.dumps(sealed(manifest)))


def test_choice_and_description(tiny_bundle: Path) -> None:
    with opened(tiny_bundle, threads=2) as generator:
        version = sys.modules["openvino"].__version__.partition("-")[0]
        assert generator.choice == f"openvino {version} on cpu, fp32, 2 threads: as asked"
        facts = generator.describe()
    assert facts["backend"] == "openvino"
    assert (facts["device"], facts["threads"], facts["precision"]) == ("cpu", 2, "fp32")
    assert facts["batches"] == [1, 2, 4, 8]
    assert facts["device_name"]


def test_batches_are_exact_and_compiled_once(
    tiny_bundle: Path, compiled: list[tuple[Any, ...]], drawn: np.ndarray
) -> None:
    with opened(tiny_bundle, max_batch=16) as generator:
        for _ in range(2):
            images = generator.generate(range(11), output="img")
            assert compare(drawn, images).max_abs < 1e-5
    sizes = [asked for asked in compiled if asked[2] == ("img",)]
    assert sizes == [(8, 1, ("img",)), (2, 1, ("img",)), (1, 1, ("img",))]
    assert sorted(asked[0] for asked in compiled if asked[2] == ("ws",)) == [1, 2, 8]


def test_those_used_last_stay_in_memory(tiny_bundle: Path, compiled: list[tuple[Any, ...]]) -> None:
    with opened(tiny_bundle) as generator:
        for options in ({"output": "img"}, {}, {"noise_mode": "seeded"}):
            for count in (8, 4, 2, 1):
                generator.generate(range(count), **options)
        before = len(compiled)
        generator.generate([0], noise_mode="seeded")
        assert len(compiled) == before
        generator.generate(range(8), output="img")
        assert len(compiled) == before + 1
        with generator.lifetime.in_use() as session:
            assert isinstance(session, OpenVINOSession)
            assert all(len(graph._requests) <= 8 for graph in session._graphs.values())


@pytest.mark.parametrize(
    ("pixels", "batches"), [(32, (1, 2, 4, 8)), (256, (1, 2, 4)), (512, (1,)), (1024, (1,))]
)
def test_large_pictures_have_small_batches(
    tiny_bundle: Path, pixels: int, batches: tuple[int, ...]
) -> None:
    bundle = Bundle.open(tiny_bundle)
    bundle.spec.__dict__.update(img_height=pixels, img_width=pixels)
    assert list_batches(bundle) == batches


@pytest.mark.parametrize("noise", [{}, {"noise_mode": "seeded"}, {"noise_mode": "none"}])
def test_neither_batch_nor_place_changes_a_picture(bundle: Path, noise: dict[str, str]) -> None:
    with opened(bundle) as generator:
        together = generator.generate(range(5), output="img", **noise)
        alone = generator.generate([4], output="img", **noise)
        turned = generator.generate([4, 3, 2, 1, 0], output="img", **noise)[::-1]
    assert compare(together[4:], alone).max_abs < 1e-5
    assert compare(together, turned).max_abs < 1e-5


def test_one_seed_of_noise_for_all(bundle: Path) -> None:
    options: dict[str, Any] = {"noise_mode": "seeded", "noise_seed": 5, "output": "img"}
    with (
        Generator.open(bundle, backend="onnxruntime", provider="cpu", threads=1) as reference,
        opened(bundle) as generator,
    ):
        given = {
            t.name: np.random.RandomState(2).randn(3 if i else 1, *t.shape[1:]).astype(np.float32)
            for i, t in enumerate(generator.bundle.noise_inputs)
        }
        for drawing in (options, {"noise": given, "output": "img"}):
            expected = reference.generate([1, 2, 3], **drawing)
            assert compare(expected, generator.generate([1, 2, 3], **drawing)).max_abs < 1e-5


def test_pictures_are_bytes_that_stay(bundle: Path, generator: Generator) -> None:
    with opened(bundle) as other:
        first = other.generate([1, 2])
        kept = first.copy()
        other.generate([3, 4])
    assert first.dtype == np.uint8
    assert np.array_equal(first, kept)
    assert np.abs(first.astype(int) - generator.generate([1, 2])).max() <= 1


def test_from_several_threads(tiny_bundle: Path, drawn: np.ndarray) -> None:
    with opened(tiny_bundle) as generator, ThreadPoolExecutor(4) as pool:
        counts = [1 + i % 4 for i in range(12)]
        tasks = [pool.submit(generator.generate, range(n), output="img") for n in counts]
        for count, task in zip(counts, tasks, strict=True):
            assert compare(drawn[:count], task.result()).max_abs < 1e-5


def test_from_asyncio(tiny_bundle: Path, drawn: np.ndarray) -> None:
    async def draw() -> list[np.ndarray]:
        async with stylert.open_async(tiny_bundle, backend="openvino") as generator:
            return await asyncio.gather(*(generator.generate([i], output="img") for i in range(3)))

    assert compare(drawn[:3], np.concatenate(asyncio.run(draw()))).max_abs < 1e-5


def test_after_close(tiny_bundle: Path, refuses: Any) -> None:
    generator = opened(tiny_bundle)
    generator.generate([0])
    generator.close()
    generator.close()
    with refuses("closed", error=EngineError):
        generator.generate([0])


def test_on_device(tiny_bundle: Path, refuses: Any) -> None:
    """On the CPU the host's memory is the device's; from elsewhere pictures only come there."""
    with opened(tiny_bundle) as generator:
        assert isinstance(generator.generate([0], on_device=True), np.ndarray)
        with generator.lifetime.in_use() as session:
            session.device = "gpu"  # type: ignore[attr-defined]
        with refuses("on_device: got True", "'gpu'", error=EngineError):
            generator.generate([0], on_device=True)


def test_refit_is_refused(tiny_bundle: Path, refuses: Any) -> None:
    with opened(tiny_bundle) as generator, refuses("refit: only", error=EngineError):
        generator.refit(tiny_bundle)


@pytest.mark.parametrize("device", ["gpu", "npu", "gpu.1"])
def test_a_device_that_is_not_here(tiny_bundle: Path, refuses: Any, device: str) -> None:
    with refuses(f"device: got {device!r}", "here are 'cpu'", error=EngineError):
        opened(tiny_bundle, device=device)


@pytest.mark.parametrize("device", ["cuda", "auto", "AUTO", "hetero:gpu,cpu", "gpu.x", "", 3])
def test_what_is_no_device(tiny_bundle: Path, refuses: Any, device: Any) -> None:
    with refuses("device: got", "('cpu', 'gpu', 'npu')", "here are 'cpu'"):
        opened(tiny_bundle, device=device)


def test_the_first_of_several_devices() -> None:
    class Core:
        available_devices = ("CPU", "GPU.0", "GPU.1")

    assert library.check_device(Core(), "gpu") == "GPU"
    assert library.check_device(Core(), "gpu.1") == "GPU.1"
    with pytest.raises(EngineError, match=r"here are 'cpu', 'gpu.0', 'gpu.1'"):
        library.check_device(Core(), "gpu.2")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"provider": "cuda"}, ("provider: got 'cuda'", "'cpu'")),
        ({"gpu": 0}, ("gpu: got 0", "device='gpu'")),
        ({"backend": "onnxruntime", "device": "cpu"}, ("device: got 'cpu'", "backend='openvino'")),
        ({"backend": "auto", "device": "gpu"}, ("device: got 'gpu'", "backend='openvino'")),
    ],
)
def test_what_does_not_go_together(
    tiny_bundle: Path, refuses: Any, options: dict[str, Any], words: tuple[str, ...]
) -> None:
    with refuses(*words):
        Generator.open(tiny_bundle, **{"backend": "openvino", **options})


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"EXECUTION_DEVICES": ["GPU.0"]}, ("device 'CPU'", "took ['GPU.0']")),
        ({"EXECUTION_DEVICES": ["CPU", "GPU"]}, ("device 'CPU'", "took ['CPU', 'GPU']")),
        ({"INFERENCE_PRECISION_HINT": "bf16"}, ("device 'CPU'", "computes in bf16")),
        ({}, ()),
    ],
)
def test_another_device_or_precision_than_asked_is_an_error(
    tiny_bundle: Path, refuses: Any, found: dict[str, Any], words: tuple[str, ...]
) -> None:
    openvino = library.import_openvino()

    class Compiled:
        def get_property(self, name: str) -> Any:
            facts = {"EXECUTION_DEVICES": ["CPU"], "INFERENCE_PRECISION_HINT": "f32", **found}
            value = facts[name]
            return getattr(openvino.Type, value) if isinstance(value, str) else value

    with opened(tiny_bundle) as generator, generator.lifetime.in_use() as session:
        graph = session._graphs["mapping"]  # type: ignore[attr-defined]
        with refuses(*words, error=EngineError) if words else contextlib.nullcontext():
            graph._check_is_as_asked(Compiled())


def test_a_graph_that_gives_another_shape_is_refused(tiny_bundle: Path, refuses: Any) -> None:
    with opened(tiny_bundle) as generator, generator.lifetime.in_use() as session:
        graph = session._graphs["mapping"]  # type: ignore[attr-defined]
        (ws,) = graph._spec.outputs
        wider = replace(ws, shape=(*ws.shape[:-1], 99))
        graph._spec = replace(graph._spec, outputs=(wider,))
        with refuses("ws: the graph gave the shape (1, ", "99)", error=EngineError):
            generator.generate([0])


def test_options_of_the_cpu(tiny_bundle: Path) -> None:
    with opened(tiny_bundle, threads=2) as generator, generator.lifetime.in_use() as session:
        graphs: Any = session._graphs  # type: ignore[attr-defined]
        found = graphs["synthesis"]._compile(1, 1, ("img",))
        assert found.get_property("INFERENCE_NUM_THREADS") == 2
        assert found.get_property("NUM_STREAMS") == 1
        assert found.get_property("INFERENCE_PRECISION_HINT").get_type_name() == "f32"
        assert not found.get_property("ENABLE_CPU_PINNING")
        (port,) = found.outputs
        assert "img" in port.names  # beside that of the node before it, which is left out
        assert not any(port.partial_shape.is_dynamic for port in found.inputs)


def test_half_graphs_are_computed_in_float32(bundle_of: Callable[[str], Path]) -> None:
    path = bundle_of("sg2-fp16-64")
    with (
        Generator.open(path, backend="onnxruntime", provider="cpu", threads=1) as reference,
        opened(path, precision="fp16") as generator,
    ):
        assert "fp16 graph computed in fp32" in generator.choice
        drawn = [g.generate([1, 2], output="img") for g in (reference, generator)]
        assert compare(*drawn).psnr_db > 70
    with opened(path) as generator:
        assert generator.describe()["precision"] == "fp32"


def test_external_data(tiny_bundle: Path, tmp_path: Path, drawn: np.ndarray) -> None:
    path = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    model = onnx.load_model(path / "synthesis.onnx")
    convert_model_to_external_data(model, location="synthesis.onnx.data", size_threshold=64)
    onnx.save_model(model, path / "synthesis.onnx")
    relist(path, "synthesis.onnx", "synthesis.onnx.data")
    with opened(path) as generator:
        assert compare(drawn[:1], generator.generate([0], output="img")).max_abs < 1e-5


def test_a_graph_that_is_another_than_the_manifest_says(
    tiny_bundle: Path, tmp_path: Path, refuses: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    path = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    model = onnx.load_model(path / "synthesis.onnx")
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    (path / "synthesis.onnx").write_bytes(model.SerializeToString())
    relist(path, "synthesis.onnx")
    with pytest.raises((BundleError, EngineError), match=r"synthesis\.onnx") as caught:
        opened(path)
    assert "\n" not in str(caught.value)
    assert not capfd.readouterr().err


class TestKept:
    """Compiled graphs on the disk."""

    def test_the_next_process_compiles_nothing(
        self, tiny_bundle: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, drawn: np.ndarray
    ) -> None:
        with opened(tiny_bundle) as generator:
            generator.generate([0], output="img")
        assert len(list(folder.glob("*.blob"))) == 2
        assert folder.stat().st_mode & 0o777 == 0o700
        openvino = library.import_openvino()
        monkeypatch.setattr(openvino.Core, "compile_model", None)
        with opened(tiny_bundle) as generator:
            assert compare(drawn[:1], generator.generate([0], output="img")).max_abs < 1e-5

    @pytest.mark.parametrize("threads", [1, 2])
    def test_options_and_weights_are_part_of_the_key(
        self, tiny_bundle: Path, folder: Path, tmp_path: Path, threads: int
    ) -> None:
        """Even where nobody compares the files with the manifest."""
        path = shutil.copytree(tiny_bundle, tmp_path / "bundle")
        with opened(path) as generator:
            before = generator.generate([0], output="img")
        model = onnx.load_model(path / "synthesis.onnx")
        for tensor in model.graph.initializer:
            if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.raw_data) > 256:
                array = onnx.numpy_helper.to_array(tensor) * 2
                tensor.raw_data = array.astype(np.float32).tobytes()
        status = (path / "synthesis.onnx").stat()
        (path / "synthesis.onnx").write_bytes(model.SerializeToString())
        assert (path / "synthesis.onnx").stat().st_size == status.st_size
        os.utime(path / "synthesis.onnx", ns=(status.st_atime_ns, status.st_mtime_ns))
        with (
            opened(path, check_files=False, threads=threads) as generator,
            Generator.open(
                path, backend="onnxruntime", provider="cpu", threads=1, check_files=False
            ) as reference,
        ):
            after = generator.generate([0], output="img")
            assert compare(reference.generate([0], output="img"), after).max_abs < 1e-4
        assert compare(before, after).max_abs > 0.01

    @pytest.mark.parametrize("damage", [b"", b"short", None])
    def test_a_damaged_one_is_made_again_and_told(
        self, tiny_bundle: Path, folder: Path, damage: bytes | None, drawn: np.ndarray
    ) -> None:
        with opened(tiny_bundle) as generator:
            generator.generate([0], output="img")
        for path in folder.glob("*.blob"):
            content = bytearray(path.read_bytes())
            content[-20] ^= 1
            path.write_bytes(content if damage is None else damage)
        with (
            opened(tiny_bundle) as generator,
            pytest.warns(StylertWarning, match=r"\.blob is damaged, and is made again") as told,
        ):
            images = generator.generate([0], output="img")
        assert len(told) == 1
        assert compare(drawn[:1], images).max_abs < 1e-5
        with opened(tiny_bundle) as generator:
            generator.generate([0], output="img")

    def test_what_openvino_refuses_is_made_again(self, tiny_bundle: Path, folder: Path) -> None:
        with opened(tiny_bundle) as generator:
            generator.generate([0], output="img")
        for path in folder.glob("*.blob"):
            kept_graphs.KeptGraphs().keep(path.stem, b"another library's")
        with opened(tiny_bundle) as generator, pytest.warns(StylertWarning, match="damaged"):
            generator.generate([0], output="img")

    def test_a_folder_that_cannot_be_written_is_told(self, tiny_bundle: Path, folder: Path) -> None:
        folder.parent.mkdir(parents=True)
        folder.write_text("a file")
        with opened(tiny_bundle) as generator, pytest.warns(StylertWarning, match="not kept"):
            generator.generate([0], output="img")

    def test_the_oldest_go_first(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        kept = kept_graphs.KeptGraphs()
        monkeypatch.setattr(kept_graphs, "MOST", 300)
        for i, key in enumerate("abc"):
            kept.keep(key, b"x" * 68)
            os.utime(folder / f"{key}.blob", (i, i))
        assert kept.open("a", bytes) == b"x" * 68  # used now
        kept.keep("d", b"x" * 68)
        assert {path.stem for path in folder.iterdir()} == {"a", "c", "d"}


def test_nothing_is_sent_anywhere(tiny_bundle: Path) -> None:
    """The package's own import sends an event to a web service, asked by nobody."""
    code = (
        "import socket, sys, stylert\n"
        "def refuse(*_, **__): print('asked for a network'); raise OSError\n"
        "socket.getaddrinfo = socket.create_connection = refuse\n"
        f"stylert.open({str(tiny_bundle)!r}, backend='openvino').close()\n"
        "assert 'openvino' in sys.modules\n"
        "print(*(m for m in sys.modules if m.startswith('openvino_telemetry')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not done.stdout.strip()


def test_it_is_not_installed(
    tiny_bundle: Path, refuses: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with refuses("openvino", "[openvino]'", error=MissingExtra):
        opened(tiny_bundle)


def test_stylert_open(tiny_bundle: Path) -> None:
    with stylert.open(tiny_bundle, backend="openvino", device="cpu", provider="auto") as generator:
        assert generator.describe()["device"] == "cpu"
