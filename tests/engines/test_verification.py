"""`verify --engine` on the fake GPU: a right engine passes, a wrong one is told, bytes as well."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from stylert.engines.verification import EngineCheck, check_engine, open_engine
from stylert.export.encoders.bundling import add_encoder
from stylert.runtime.backends.graph_forms import find_engine_graph
from stylert.runtime.backends.tensorrt.plans import Plan
from stylert.runtime.backends.tensorrt.trust import UntrustedEngine, record_engine
from stylert.runtime.bundle import Bundle, hash_file
from stylert.runtime.errors import EngineError, ParityError
from stylert.runtime.machine import Gpu
from stylert.tests.loading import load_file

FAKES = Path(__file__).parents[1] / "runtime" / "backends" / "conftest.py"
Edit = Callable[[onnx.GraphProto], None]
Refuses = Callable[..., AbstractContextManager[None]]


@pytest.fixture(scope="module")
def backends() -> Any:
    """What the tests of backends share: their fake GPU, and plans whose engines draw there."""
    return load_file(FAKES, "fakes_of_backends")


@pytest.fixture
def gpu(backends: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A machine with a fake GPU and a fake tensorrt."""
    fakes = backends.Fakes(monkeypatch)
    fakes.install()
    session = "stylert.runtime.backends.tensorrt.session"
    monkeypatch.setattr(f"{session}._open_device", lambda index: fakes.new_device())
    gpus = [Gpu(0, "Fake GPU", (8, 9))]
    monkeypatch.setattr("stylert.engines.verification.visible_gpus", lambda: gpus)
    return fakes


@pytest.fixture
def add(backends: Any, gpu: Any, tmp_path: Path) -> Callable[..., str]:
    """Adds engines to a bundle, of a synthesis graph that was edited; gives its plan's name."""

    def build(path: Path, edit: Edit | None = None, *, own: bool = True, **fields: Any) -> str:
        bundle = Bundle.open(path)
        backends._add_plan(bundle, "mapping", "any", own, fields)
        plan: Plan = backends._add_plan(bundle, "synthesis", "any", own, fields)
        if edit is not None:
            model = onnx.load(bundle.file(find_engine_graph(bundle, "synthesis", plan.precision)))
            edit(model.graph)
            wrong = tmp_path / f"{plan.name}.onnx"
            onnx.save(model, wrong)
            file = plan.file(bundle)
            file.write_text(json.dumps({**json.loads(file.read_text()), "onnx": str(wrong)}))
            plan = replace(plan, sha256=hash_file(file), size=file.stat().st_size)
            file.with_suffix(".json").write_text(json.dumps(plan.to_json()))
            record_engine(plan)
        return plan.name

    return build


@pytest.fixture
def own(bundle: Path, tmp_path: Path) -> Path:
    """A bundle of the test's own, in both precisions."""
    return shutil.copytree(bundle, tmp_path / "bundle")


def scale_bias(graph: onnx.GraphProto) -> None:
    """By one in a hundred, in one layer."""
    (bias,) = (t for t in graph.initializer if t.name == "b16.conv1/bias")
    array = numpy_helper.to_array(bias)
    bias.CopyFrom(numpy_helper.from_array((array * 1.01).astype(array.dtype), bias.name))


def flip_convolution(graph: onnx.GraphProto) -> None:
    """Of one layer, left to right."""
    (weight,) = (t for t in graph.initializer if t.name == "b16.conv1/conv_weight")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight)[..., ::-1], weight.name))


def exchange_ws(graph: onnx.GraphProto) -> None:
    """The second layer's w for the third layer, and the other way round."""
    (ws,) = (value for value in graph.input if value.name == "ws")
    order = np.arange(ws.type.tensor_type.shape.dim[1].dim_value)
    order[[1, 2]] = order[[2, 1]]
    graph.initializer.append(numpy_helper.from_array(order, "order"))
    for node in graph.node:
        node.input[:] = ["exchanged" if name == "ws" else name for name in node.input]
    graph.node.insert(0, helper.make_node("Gather", ["ws", "order"], ["exchanged"], axis=1))


def failed(check: EngineCheck) -> set[tuple[str, str]]:
    return {(row.output, row.scene) for row in check.rows if not row.passed}


def test_a_right_engine_passes_in_every_batch_size(own: Path, add: Callable[..., str]) -> None:
    name = add(own)
    seen: list[tuple[int, int]] = []
    check = check_engine(own, seeds=range(4), progress=lambda *steps: seen.append(steps))
    assert check.passed
    assert (check.plans[-1], check.precision) == (name, "fp32")
    assert check.where == "tensorrt 11.4.0.106 on Fake GPU"
    assert {row.batch for row in check.rows} == {1, 2, 4}
    assert {row.output for row in check.rows} == {"ws", "img", "image"}
    assert len({row.scene for row in check.rows}) == 4
    assert max(row.excess for row in check.rows if row.output != "image") < 1 / 2
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert json.loads(json.dumps(check.to_json()))["passed"] is True


def test_a_right_engine_of_another_network(
    bundle_of: Callable[[str], Path], add: Callable[..., str], tmp_path: Path
) -> None:
    path = shutil.copytree(bundle_of("field/human-sg3t"), tmp_path / "bundle")  # which moves
    add(path)
    assert check_engine(path, seeds=[0, 1]).passed
    path = shutil.copytree(bundle_of("sg2-cond-32"), tmp_path / "conditional")
    add(path)
    assert check_engine(path, seeds=[0, 1]).passed


def test_a_wrong_bias_fails(own: Path, add: Callable[..., str]) -> None:
    add(own, scale_bias)
    check = check_engine(own, seeds=[0, 1])
    assert not check.passed
    pictures = [row for row in check.rows if row.output == "img"]
    assert not any(row.passed for row in pictures)
    assert all(row.passed for row in check.rows if row.output == "ws")
    with pytest.raises(ParityError, match=r"does not draw what its graph draws, in \d+ of 21 rows"):
        raise check.make_error()
    with pytest.raises(ParityError, match=r"Worst: img with .*, batch \d: rms .* dB\.$"):
        raise check.make_error()


def test_exchanged_ws_are_seen_where_every_layer_has_its_own(
    own: Path, add: Callable[..., str]
) -> None:
    add(own, exchange_ws, outputs=("img",))
    assert failed(check_engine(own, seeds=[0, 1])) == {("img", "another w in every layer")}


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_engines_that_give_bytes_alone(own: Path, add: Callable[..., str], precision: str) -> None:
    right = add(own, precision=precision, outputs=("image",))
    check = check_engine(own, plan=right, seeds=[0, 1])
    assert check.passed
    assert check.precision == precision
    assert {row.output for row in check.rows} == {"ws", "image"}
    wrong = add(own, flip_convolution, precision=precision, outputs=("image",))
    check = check_engine(own, plan=wrong, seeds=[0, 1])
    assert check.plans[-1] == wrong
    assert {output for output, _ in failed(check)} == {"image"}
    assert len(failed(check)) == 3


def test_half_precision_is_judged_as_half(own: Path, add: Callable[..., str]) -> None:
    add(own, precision="fp16")
    check = check_engine(own, seeds=[0, 1])
    assert check.passed
    assert any("PSNR" in row.difference for row in check.rows)


def test_pictures_that_are_not_finite_fail(own: Path, add: Callable[..., str]) -> None:
    def overflow(graph: onnx.GraphProto) -> None:
        (bias,) = (t for t in graph.initializer if t.name == "b16.conv1/bias")
        array = np.full_like(numpy_helper.to_array(bias), np.nan)
        bias.CopyFrom(numpy_helper.from_array(array, bias.name))

    add(own, overflow, outputs=("img",))
    check = check_engine(own, seeds=[0, 1])
    assert len(failed(check)) == 3
    assert json.loads(json.dumps(check.to_json(), allow_nan=False))["rows"][-1]["excess"] is None
    assert str(check.make_error()).endswith("not finite.")


def test_a_plan_of_another_name(own: Path, add: Callable[..., str], refuses: Refuses) -> None:
    with refuses("plan: got 'x'", "the bundle has no engine"):
        check_engine(own, plan="x")
    name = add(own)
    with refuses("plan: got 'x'", f"expected one of {name}"):
        check_engine(own, plan="x")


def test_without_a_gpu_one_line_says_so(
    own: Path, add: Callable[..., str], monkeypatch: pytest.MonkeyPatch, refuses: Refuses
) -> None:
    add(own)
    monkeypatch.setattr("stylert.engines.verification.visible_gpus", list)
    with refuses("Only an NVIDIA GPU shows what an engine draws", error=EngineError):
        check_engine(own)


def test_a_strangers_engine_is_not_run(own: Path, add: Callable[..., str]) -> None:
    add(own, own=False)
    with pytest.raises(UntrustedEngine):
        open_engine(Bundle.open(own))
    with open_engine(Bundle.open(own), trust_engines=True) as generator:
        assert generator.describe()["backend"] == "tensorrt"


def test_the_device_is_given_back(own: Path, add: Callable[..., str], gpu: Any) -> None:
    add(own)
    check_engine(own, seeds=[0])
    assert gpu.device.closed
    assert sys.modules["tensorrt"] is not None


def test_the_command(
    own: Path,
    add: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    from stylert.cli import main

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main(["verify", str(own), *map(str, arguments)])
        return (int(caught.value.code or 0), *capsys.readouterr())

    name = add(own)
    code, out, err = run("--engine", "--seeds", 2)
    assert (code, err) == (0, "")
    assert f"{name} (tensorrt 11.4.0.106 on Fake GPU) against the float32 graph" in out
    assert "another w in every layer" in out
    code, out, err = run("--engine", "--seeds", 1, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["engine"]["plans"][-1] == name
    wrong = add(own, scale_bias)
    code, out, err = run("--plan", wrong, "--seeds", 1)
    assert code == 1
    assert "FAILED" in out
    assert err.startswith(f"error: The engine {wrong} does not draw what its graph draws, in ")
    assert len(err.splitlines()) == 1
    code, _, err = run("--plan", "x")
    assert code == 2
    assert err.startswith("error: --plan: got 'x', expected one of ")


def test_the_command_layer_by_layer(
    own: Path,
    add: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from stylert.cli import main
    from stylert.export.layers.runners import GraphRunner

    asked: list[str] = []

    def make(bundle: Bundle, plan: Plan, values: Any) -> GraphRunner:
        asked.append(plan.name)
        graph = find_engine_graph(bundle, plan.graph, plan.precision)
        return GraphRunner("engine", bundle.file(graph), threads=1)

    monkeypatch.setattr("stylert.engines.layer_runner.make_layer_runner", make)
    name = add(own, precision="fp16")
    with pytest.raises(SystemExit) as caught:
        main(["verify", str(own), "--engine", "--layers", "--seeds", "1"])
    out, err = capsys.readouterr()
    assert (caught.value.code, err) == (0, "")
    assert asked[-1] == name
    assert "\nengine: no layer drifts.\n" in out


@pytest.mark.parametrize("feedback", [False, True])
def test_the_encoders_engine_is_compared_too(
    own: Path,
    add: Callable[..., str],
    backends: Any,
    make_encoder: Callable[..., Any],
    *,
    feedback: bool,
) -> None:
    spec = Bundle.open(own).spec
    add_encoder(own, make_encoder(spec.num_ws, spec.w_dim, feedback=feedback), verify=False)
    add(own)
    assert "codes" not in {row.output for row in check_engine(own, seeds=[0]).rows}
    bundle = Bundle.open(own)
    plan: Plan = backends._add_plan(bundle, "encoder", "any", True, {})
    rows = [row for row in check_engine(own, seeds=range(3)).rows if row.output == "codes"]
    assert [(row.batch, row.passed) for row in rows] == [(1, True), (2, True), (4, True)]
    assert max(row.excess for row in rows) < 1 / 2
    model = onnx.load(bundle.file("encoder"))
    (bias,) = (tensor for tensor in model.graph.initializer if tensor.name == "stem/conv_bias")
    array = numpy_helper.to_array(bias)
    bias.CopyFrom(numpy_helper.from_array((array + 0.001).astype(array.dtype), bias.name))
    other = shutil.copytree(own, own.parent / "other")
    onnx.save(model, other / "wrong.onnx")
    file = plan.file(bundle)
    file.write_text(json.dumps({**json.loads(file.read_text()), "onnx": str(other / "wrong.onnx")}))
    plan = replace(plan, sha256=hash_file(file), size=file.stat().st_size)
    file.with_suffix(".json").write_text(json.dumps(plan.to_json()))
    record_engine(plan)
    check = check_engine(own, seeds=range(3))
    assert {row.output for row in check.rows if not row.passed} == {"codes"}
    with pytest.raises(ParityError, match=r"Worst: codes with the encoder.* of their range\.$"):
        raise check.make_error()


def test_the_encoder_in_half_precision_is_judged_by_its_pictures(
    bundle_of: Callable[[str], Path],
    add: Callable[..., str],
    backends: Any,
    make_encoder: Callable[..., Any],
    tmp_path: Path,
) -> None:
    path = shutil.copytree(bundle_of("sg2-nhwc-32"), tmp_path / "half")
    spec = Bundle.open(path).spec
    add_encoder(path, make_encoder(spec.num_ws, spec.w_dim))
    fields = {"precision": "fp16", "batches": ((1, 1, 1),)}
    add(path, **fields)
    backends._add_plan(Bundle.open(path), "encoder", "any", True, fields)
    (row,) = (row for row in check_engine(path, seeds=[0]).rows if row.output == "pictures")
    assert row.passed
    assert "PSNR" in row.difference
