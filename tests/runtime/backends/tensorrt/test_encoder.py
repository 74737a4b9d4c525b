"""A bundle's encoder beside engines on the fake GPU: its own engine, or ONNX Runtime, said."""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.export.encoders.bundling import add_encoder
from stylert.runtime.backends.tensorrt.plan_choice import choose_plans
from stylert.runtime.backends.tensorrt.session import TensorRTSession
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import EngineError, InvalidInput, MissingExtra, StylertWarning
from stylert.runtime.generator import Generator
from stylert.runtime.machine import Gpu

ALL = ("mapping", "synthesis", "encoder")
PHOTOS = np.random.default_rng(0).integers(0, 256, (3, 20, 16, 3), np.uint8)


@pytest.fixture(scope="module")
def with_encoders(
    bundle: Path, make_encoder: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[bool, Path]:
    """The bundle with an encoder, by whether it sees what it has drawn. Read only."""
    made = {}
    spec = Bundle.open(bundle).spec
    for feedback in (False, True):
        made[feedback] = tmp_path_factory.mktemp("encoder") / "bundle"
        shutil.copytree(bundle, made[feedback])
        encoder = make_encoder(spec.num_ws, spec.w_dim, feedback=feedback)
        add_encoder(made[feedback], encoder, verify=False)
    return made


@pytest.fixture
def own(with_encoders: dict[bool, Path], tmp_path: Path) -> Path:
    """The bundle with the plain encoder, a test's own."""
    return shutil.copytree(with_encoders[False], tmp_path / "own")


def opened(session: TensorRTSession, path: Path) -> Generator:
    return Generator(Bundle.open(path), session, max_batch=session.max_batch)


def expect(path: Path) -> np.ndarray:
    with Generator.open(path, backend="onnxruntime", provider="cpu", threads=1) as generator:
        return generator.invert(list(PHOTOS))


@pytest.mark.parametrize("feedback", [False, True])
def test_invert_by_its_engine(
    installed: Any,
    with_encoders: dict[bool, Path],
    tmp_path: Path,
    add_plans: Any,
    *,
    feedback: bool,
) -> None:
    path = shutil.copytree(with_encoders[feedback], tmp_path / "own")
    *_, plan = add_plans(path, *ALL)
    session = installed.open(path)
    assert session.describe()["encoder"] == plan.name
    assert "encoder" not in [graph for graph, _ in installed.world.seen]
    loaded = len(installed.world.loaded)
    with opened(session, path) as generator:
        images = generator.generate(range(3))  # the lane has working memory, for these engines
        assert len(installed.world.loaded) == loaded  # the encoder's is for those who ask
        ws = generator.invert(list(PHOTOS))
        np.testing.assert_allclose(ws, expect(path), rtol=0, atol=1e-4)
        np.testing.assert_array_equal(generator.generate(range(3)), images)
        assert len(generator.invert(np.repeat(PHOTOS, 3, axis=0))) == 9  # in launches of 4
    runs = [shapes for graph, shapes in installed.world.seen if graph == "encoder"]
    assert {shapes["photo"][0] for shapes in runs} == {1, 4}
    assert set(runs[0]) == ({"photo", "img", "codes"} if feedback else {"photo"})


def test_without_its_engine_onnxruntime_inverts_and_says_so_once(
    installed: Any, own: Path, add_plans: Any
) -> None:
    add_plans(own)
    session = installed.open(own)
    assert session.describe()["encoder"] == "ONNX Runtime on the CPU"
    with opened(session, own) as generator:
        command = f"Build it: stylert build-engine {own} --compiler tensorrt --precision fp32"
        with pytest.warns(StylertWarning, match="runs in ONNX Runtime on the CPU") as told:
            ws = generator.invert(list(PHOTOS))
        assert command in str(told[0].message)
        np.testing.assert_array_equal(ws, expect(own))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            generator.invert(list(PHOTOS))
    assert "encoder" not in [graph for graph, _ in installed.world.seen]


def test_without_engine_and_without_onnxruntime(
    installed: Any, own: Path, add_plans: Any, refuses: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_plans(own)
    with opened(installed.open(own), own) as generator:
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        with refuses("No engine of the encoder", "pip install", error=MissingExtra):
            generator.invert(list(PHOTOS))


def test_an_engine_of_others_is_not_run(installed: Any, own: Path, add_plans: Any) -> None:
    add_plans(own)
    (strange,) = add_plans(own, "encoder", own=False)
    for trust, told in ((False, "ONNX Runtime on the CPU"), (True, strange.name)):
        session = installed.open(own, trust_engines=trust)
        assert session.describe()["encoder"] == told
        session.close()


def test_which_engine_of_the_encoder_is_taken(
    bundle_of: Callable[[str], Path],
    make_encoder: Callable[..., Any],
    tmp_path: Path,
    add_plans: Any,
) -> None:
    path = shutil.copytree(bundle_of("sg2-nhwc-32"), tmp_path / "half")
    spec = Bundle.open(path).spec
    add_encoder(path, make_encoder(spec.num_ws, spec.w_dim))
    bundle = Bundle.open(path)
    here = Gpu(0, "NVIDIA L4", (8, 9))

    def choose(precision: str) -> Any:
        chosen = choose_plans(
            bundle, gpu=here, precision=precision, version_of=lambda _: "11.4.0.106"
        )
        return chosen.encoder

    for precision in ("fp32", "fp16"):
        add_plans(path, precision=precision)
    assert choose("fp16") is None
    (single,) = add_plans(path, "encoder", precision="fp32")
    assert choose("fp16") == choose("fp32") == single
    (half,) = add_plans(path, "encoder", precision="fp16")
    assert (choose("fp16"), choose("fp32")) == (half, single)
    add_plans(path, "encoder", precision="fp16", batches=((1, 1, 1),))
    add_plans(path, "encoder", precision="fp16", compute_capabilities=("9.0",))
    add_plans(path, "encoder", precision="fp16", onnx_sha256="0" * 64)
    assert choose("fp16") == half


def test_refit_takes_the_other_bundles_encoder(
    installed: Any,
    own: Path,
    bundle: Path,
    with_encoders: dict[bool, Path],
    add_plans: Any,
    tmp_path: Path,
    make_encoder: Callable[..., Any],
) -> None:
    other = shutil.copytree(own, tmp_path / "other")
    spec = Bundle.open(own).spec
    encoder = make_encoder(spec.num_ws, spec.w_dim)
    encoder.tensors["codes.bias"] += 1
    add_encoder(other, encoder, force=True)
    refittable = {"options": {"refittable": True}}
    add_plans(own, *ALL, **refittable)
    with opened(installed.open(own), own) as generator:
        with pytest.raises(InvalidInput, match="an encoder of another architecture"):
            generator.refit(with_encoders[True])
        generator.refit(other)
        expected = expect(other)
        np.testing.assert_allclose(generator.invert(list(PHOTOS)), expected, rtol=0, atol=1e-4)
        assert np.abs(expected - expect(own)).max() > 0.5
        generator.refit(bundle)  # which has none
        with pytest.raises(InvalidInput, match="has no encoder"):
            generator.invert(list(PHOTOS))


def test_refit_where_onnxruntime_inverts(
    installed: Any, own: Path, add_plans: Any, tmp_path: Path, make_encoder: Callable[..., Any]
) -> None:
    other = shutil.copytree(own, tmp_path / "other")
    spec = Bundle.open(own).spec
    add_encoder(other, make_encoder(spec.num_ws, spec.w_dim, feedback=True), force=True)
    add_plans(own, options={"refittable": True})
    with opened(installed.open(own), own) as generator:
        for path in (own, other):
            if path == other:
                generator.refit(other)
            with pytest.warns(StylertWarning, match="ONNX Runtime on the CPU"):
                ws = generator.invert(list(PHOTOS))
            np.testing.assert_allclose(ws, expect(path), rtol=0, atol=1e-4)


def test_an_engine_without_img_is_told_to_an_encoder_that_needs_it(
    installed: Any,
    with_encoders: dict[bool, Path],
    tmp_path: Path,
    add_plans: Any,
    refuses: Any,
) -> None:
    path = shutil.copytree(with_encoders[True], tmp_path / "own")
    add_plans(path, *ALL, outputs=("image",))
    with (
        opened(installed.open(path), path) as generator,
        refuses("got 'img'", "--output both", error=EngineError),
    ):
        generator.invert(list(PHOTOS))
