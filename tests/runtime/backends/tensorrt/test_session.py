"""The TensorRT backend on a fake GPU: batches, graphs, noise, errors, threads, closing."""

from __future__ import annotations

import gc
import json
import shutil
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.runtime.backends.tensorrt import driver_remedy
from stylert.runtime.backends.tensorrt.package import IN_TURN
from stylert.runtime.backends.tensorrt.session import TensorRTSession
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import EngineError, MissingExtra, StylertWarning
from stylert.runtime.generator import Generator

BOTH = ("mapping", "synthesis")


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal up to what another batch size changes in ONNX Runtime."""
    if a.dtype == np.uint8:
        return a.shape == b.shape and int(np.abs(a.astype(int) - b).max()) <= 1
    return a.shape == b.shape and a.dtype == b.dtype and bool(np.abs(a - b).max() < 1e-4)


@pytest.fixture
def session(installed: Any, engines: Path) -> Any:
    with_engines = installed.open(engines)
    yield with_engines
    with_engines.close()


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_draw_is_the_reference(
    session: TensorRTSession, feeds_of: Any, expected: Any, count: int
) -> None:
    feeds = feeds_of(count)
    for _ in range(2):  # the second time from the graph
        drawn = session.run(BOTH, feeds, ["image", "img"])
        for got, want in zip(drawn, expected(feeds, ["image", "img"]), strict=True):
            assert same(got, want)
    other = feeds_of(count, seed=1)
    assert same(session.run(BOTH, other, ["img"])[0], expected(other, ["img"])[0])


def test_map_then_synthesize(
    session: TensorRTSession, reference: Any, feeds_of: Any, expected: Any
) -> None:
    feeds = feeds_of(3)
    (ws,) = session.run(("mapping",), feeds, ["ws"])
    assert same(ws, reference.run(("mapping",), feeds, ["ws"])[0])
    (img,) = session.run(("synthesis",), feeds.with_rows({"ws": ws}), ["img"])
    assert same(img, expected(feeds, ["img"])[0])


def test_batches_are_padded_to_the_next_bucket(
    installed: Any, session: TensorRTSession, feeds_of: Any
) -> None:
    assert session.max_batch == 4
    for count in (1, 2, 3, 4, 3):
        session.run(BOTH, feeds_of(count), ["image"])
    runs = [shapes["z"][0] for graph, shapes in installed.world.seen if graph == "mapping"]
    assert sorted(set(runs)) == [1, 2, 4]
    assert installed.device.calls["capture"] == 3


def test_a_range_profile_runs_the_batch_as_it_is(
    installed: Any, bundle_copy: Path, add_plans: Any, feeds_of: Any, expected: Any
) -> None:
    add_plans(bundle_copy, batches=((2, 4, 6),))
    session = installed.open(bundle_copy)
    for count, run in ((1, 2), (2, 2), (3, 3), (5, 5)):
        feeds = feeds_of(count)
        assert same(session.run(BOTH, feeds, ["img"])[0], expected(feeds, ["img"])[0])
        assert installed.world.seen[-1][1]["ws"][0] == run
    session.close()


def test_larger_batches_are_refused(session: TensorRTSession, feeds_of: Any, refuses: Any) -> None:
    with refuses("batch of 5", "1 to 4", "Split", error=EngineError):
        session.run(BOTH, feeds_of(5), ["image"])


def test_through_the_generator(
    session: TensorRTSession, engines: Path, generator: Generator
) -> None:
    ours = Generator(Bundle.open(engines), session, max_batch=session.max_batch)
    for options in (
        {},
        {"noise_mode": "none"},
        {"noise_mode": "seeded"},
        {"noise_mode": "seeded", "noise_seed": 3},
        {"output": "img", "truncation_psi": 0.5, "truncation_cutoff": 4},
    ):
        seeds = range(7)  # split in 4 and 3
        assert same(ours.generate(seeds, **options), generator.generate(seeds, **options))


def test_transforms_through_the_generator(
    installed: Any, bundle_of: Any, tmp_path: Path, add_plans: Any
) -> None:
    """A matrix for each image is an input like the others, in padded batches, too."""
    path = shutil.copytree(bundle_of("field/sg3r-decoder"), tmp_path / "bundle")
    with Generator.open(path, provider="cpu", threads=1) as generator:
        add_plans(path)
        session = installed.open(path)
        ours = Generator(Bundle.open(path), session, max_batch=session.max_batch)
        turned = {"rotate": (10, 20, 30), "translate": (0.1, 0)}
        for options in ({}, turned, {"rotate": 45}, {}):
            assert same(ours.generate(range(3), **options), generator.generate(range(3), **options))
        shapes = [s["transform"][0] for g, s in installed.world.seen if g == "synthesis"]
        assert set(shapes) == {4}
        ours.close()


@pytest.mark.parametrize("profile", ["any", "own"])
def test_noise_modes_in_turn(
    installed: Any,
    bundle_copy: Path,
    add_plans: Any,
    feeds_of: Any,
    expected: Any,
    profile: str,
) -> None:
    add_plans(bundle_copy, noise=profile)
    session = installed.open(bundle_copy)
    for noise in ("const", "none", "const", "one", "own", "none", "own", "const"):
        for count in (3, 2):
            feeds = feeds_of(count, noise=noise)
            assert same(session.run(BOTH, feeds, ["img"])[0], expected(feeds, ["img"])[0]), noise
    shape = next(s["noise_b4_conv1"] for g, s in installed.world.seen if g == "synthesis")
    assert shape[0] == (1 if profile == "any" else 4)  # the first run: const, three images
    session.close()


@pytest.mark.parametrize("noise", ["const", "none", "seeded"])
def test_one_map_of_noise_for_all_layers(
    installed: Any,
    bundle_of: Callable[[str], Path],
    add_plans: Any,
    tmp_path: Path,
    noise: str,
) -> None:
    path = shutil.copytree(bundle_of("field/luci16"), tmp_path / "bundle")
    with Generator.open(path, provider="cpu", precision="fp32") as generator:
        options = {"noise_mode": noise, "output": "img"}
        expected = generator.generate([1, 2, 3], **options)
        feeds = generator.inputs.feed_seeds([1, 2, 3], {"noise_mode": noise})
    add_plans(path)
    session = installed.open(path)
    assert same(session.run(BOTH, feeds, ["img"])[0], expected)
    (shape,) = {s["noise"] for graph, s in installed.world.seen if graph == "synthesis"}
    assert shape[0] == (4 if noise == "seeded" else 1)  # the batch of the plan
    session.close()


def test_constant_noise_is_uploaded_once(
    installed: Any, session: TensorRTSession, feeds_of: Any
) -> None:
    session.run(BOTH, feeds_of(2), ["image"])
    before = installed.device.calls["copy"]
    session.run(BOTH, feeds_of(2), ["image"])
    assert installed.device.calls["copy"] - before == 3  # z, truncation_psi, and the image
    feeds = feeds_of(2, noise="one")
    before = installed.device.calls["copy"]
    session.run(BOTH, feeds, ["image"])
    assert installed.device.calls["copy"] - before == 3 + len(feeds.rows) - 2


@pytest.mark.parametrize("writeable", [True, False])
def test_only_what_is_said_to_be_constant_stays_on_the_device(
    session: TensorRTSession, feeds_of: Any, expected: Any, *, writeable: bool
) -> None:
    """Whatever the flags of the arrays: a user may change their noise between two calls."""
    feeds = feeds_of(1, noise="one")
    noise = [array for name, array in feeds.rows.items() if name.startswith("noise_")]
    for array in noise:
        array.flags.writeable = writeable
    first = session.run(BOTH, feeds, ["img"])[0]
    assert same(session.run(BOTH, feeds, ["img"])[0], first)
    for array in noise:
        array.flags.writeable = True
        array[:] *= -1
        array.flags.writeable = writeable
    second = session.run(BOTH, feeds, ["img"])[0]
    assert not same(first, second)
    assert same(second, expected(feeds, ["img"])[0])


def test_noise_for_each_image_where_the_plan_has_one_for_all(
    installed: Any, bundle_copy: Path, add_plans: Any, feeds_of: Any, refuses: Any
) -> None:
    add_plans(bundle_copy, noise="shared")
    session = installed.open(bundle_copy)
    session.run(BOTH, feeds_of(4), ["image"])
    with refuses("noise_", "1 to 1", "batch of 4", error=EngineError):
        session.run(BOTH, feeds_of(4, noise="own"), ["image"])
    session.close()


def test_a_replay_queues_no_kernel_itself(
    installed: Any, session: TensorRTSession, feeds_of: Any
) -> None:
    session.run(BOTH, feeds_of(2), ["image"])
    executed = installed.world.calls["execute_async_v3"]
    for seed in range(5):
        session.run(BOTH, feeds_of(2, seed=seed), ["image"])
    assert installed.world.calls["execute_async_v3"] == executed
    assert installed.device.calls["launch"] == 6
    assert session.describe()["cuda_graphs"] is True


def test_programs_are_bounded(
    installed: Any,
    bundle_copy: Path,
    add_plans: Any,
    feeds_of: Any,
    expected: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stylert.runtime.backends.tensorrt.lanes.MAX_PROGRAMS", 2)
    add_plans(bundle_copy, batches=((1, 2, 4),))
    session = installed.open(bundle_copy)
    for count in (1, 2, 3, 1, 3, 1):
        feeds = feeds_of(count)
        assert same(session.run(BOTH, feeds, ["img"])[0], expected(feeds, ["img"])[0])
    assert installed.device.calls["capture"] == 4  # the 1 was thrown away for the 3
    session.close()


@pytest.mark.parametrize("reason", ["begin", "in_capture", "end"])
def test_without_a_capture_it_runs_eagerly_and_says_so(
    installed: Any, session: TensorRTSession, feeds_of: Any, expected: Any, reason: str
) -> None:
    if reason == "in_capture":
        installed.world.failing["in_capture"] = True
    else:
        installed.device.broken.add("capture" if reason == "begin" else "end_capture")
    feeds = feeds_of(2)
    with pytest.warns(StylertWarning, match="Without CUDA graphs"):
        drawn = session.run(BOTH, feeds, ["img"])
    assert same(drawn[0], expected(feeds, ["img"])[0])
    assert same(session.run(BOTH, feeds_of(3), ["img"])[0], expected(feeds_of(3), ["img"])[0])
    description = session.describe()
    assert description["cuda_graphs"] is False
    assert description["cuda_graphs_why"]
    assert installed.device.calls["capture"] == 2  # once more, and never again
    assert installed.device.calls["launch"] == 0


@pytest.mark.parametrize("call", ["capture", "end_capture"])
def test_a_capture_that_fails_once_is_tried_again(
    installed: Any, session: TensorRTSession, feeds_of: Any, expected: Any, call: str
) -> None:
    installed.device.failing[call] = 0
    for _ in range(2):
        drawn = session.run(BOTH, feeds_of(2), ["img"])
        assert same(drawn[0], expected(feeds_of(2), ["img"])[0])
    assert session.describe()["cuda_graphs"] is True
    assert installed.device.calls["launch"] == 2


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("fails", [False, True])
def test_no_garbage_is_collected_while_a_capture_runs(
    installed: Any,
    session: TensorRTSession,
    feeds_of: Any,
    monkeypatch: pytest.MonkeyPatch,
    enabled: bool,
    fails: bool,
) -> None:
    """A finalizer that frees something on the GPU would make the capture invalid."""
    seen = []
    capture = type(installed.device).capture

    def collecting(device: Any, stream: Any, work: Any) -> Any:
        seen.append((gc.isenabled(), forgotten() is None))
        if fails and len(seen) == 1:
            raise EngineError("CUDA: no.")
        return capture(device, stream, work)

    class Forgotten:
        def __init__(self) -> None:
            self.itself = self  # only the collector finds it

    monkeypatch.setattr(type(installed.device), "capture", collecting)
    forgotten = weakref.ref(Forgotten())
    try:
        if not enabled:
            gc.disable()
        session.run(BOTH, feeds_of(2), ["img"])
        assert gc.isenabled() is enabled
    finally:
        gc.enable()
    assert seen == [(False, True)] * (2 if fails else 1)


def test_engines_are_set_up_in_turn(
    fakes: Any, bundle_copy: Path, add_plans: Any, feeds_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorRT logs with a lock of its own held, and Python's lock is needed to log."""
    fakes.install("tensorrt_rtx", "1.7.1.116")
    add_plans(bundle_copy, compiler="tensorrt_rtx", version="1.7.1.116")
    owned: dict[str, list[bool]] = {}

    def noting(name: str, real: Any) -> Any:
        def call(*args: Any) -> Any:
            owned.setdefault(name, []).append(IN_TURN._is_owned())  # type: ignore[attr-defined]
            return real(*args)

        return call

    for kind, names in {
        fakes.module.Runtime: "deserialize_cuda_engine",
        fakes.module.Engine: "create_runtime_config create_execution_context",
        fakes.module.RuntimeCache: "serialize deserialize",
        fakes.module.Context: "set_optimization_profile_async set_input_shape set_tensor_address "
        "infer_shapes execute_async_v3",
    }.items():
        for name in names.split():
            monkeypatch.setattr(kind, name, noting(name, getattr(kind, name)))
    for _ in range(2):  # the second time with kernels that were kept
        session = fakes.open(bundle_copy)
        for count in (2, 4, 2):
            session.run(BOTH, feeds_of(count), ["img"])
        session.close()
    runs = [True, True, False, False]  # the first of both contexts, and the call's own
    assert owned.pop("execute_async_v3") == [*runs, *runs, False, False] * 2
    assert len(owned) == 9
    assert all(all(times) for times in owned.values()), owned


def test_cuda_graphs_can_be_switched_off(
    installed: Any, engines: Path, feeds_of: Any, expected: Any
) -> None:
    session = installed.open(engines, cuda_graphs=False)
    feeds = feeds_of(2)
    assert same(session.run(BOTH, feeds, ["img"])[0], expected(feeds, ["img"])[0])
    assert session.describe()["cuda_graphs_why"] == "switched off"
    assert not installed.device.calls["capture"]
    session.close()


def test_describe(session: TensorRTSession, engines: Path) -> None:
    description = session.describe()
    assert json.loads(json.dumps(description)) == description
    assert description["backend"] == "tensorrt"
    assert description["package"] == "tensorrt"
    assert description["version"] == "11.4.0.106"
    assert description["gpu"] == "Fake GPU"
    assert description["precision"] == "fp32"
    assert description["batches"] == [[1, 1, 1], [2, 2, 2], [4, 4, 4]]


def test_on_the_device_results_keep_their_content(
    installed: Any, session: TensorRTSession, feeds_of: Any, expected: Any
) -> None:
    session.run(BOTH, feeds_of(2), ["img"])
    waited = installed.device.calls["sync"]
    kept = [
        session.run(BOTH, feeds_of(2, seed=seed), ["img"], on_device=True)[0] for seed in range(6)
    ]
    assert installed.device.calls["sync"] == waited  # nothing waited for the pictures
    for seed, array in enumerate(kept):
        assert same(array.numpy(), expected(feeds_of(2, seed=seed), ["img"])[0])
    ws = {"ws": np.zeros((1, 8, 64), np.float32)}
    (image,) = session.run(("synthesis",), feeds_of(1).with_rows(ws), ["image"], on_device=True)
    assert image.shape == (1, 32, 32, 3)
    assert np.from_dlpack(image).dtype == np.uint8


def test_inputs_are_not_overwritten_while_they_are_being_read(
    session: TensorRTSession, feeds_of: Any, expected: Any
) -> None:
    session.run(BOTH, feeds_of(2, noise="own"), ["img"])  # all buffers are there from here on
    first = session.run(BOTH, feeds_of(2, seed=1, noise="own"), ["img"], on_device=True)[0]
    second = session.run(BOTH, feeds_of(2, seed=2, noise="own"), ["img"], on_device=True)[0]
    assert same(second.numpy(), expected(feeds_of(2, seed=2, noise="own"), ["img"])[0])
    assert same(first.numpy(), expected(feeds_of(2, seed=1, noise="own"), ["img"])[0])


def test_memory_does_not_grow(installed: Any, session: TensorRTSession, feeds_of: Any) -> None:
    def sizes() -> tuple[int, int, int]:
        gc.collect()
        device, world = installed.device, installed.world
        return len(device.live), len(device.pinned_live), len(world.contexts)

    def use() -> None:
        for noise in ("const", "none", "own", "one"):
            for count in (1, 2, 3):
                session.run(BOTH, feeds_of(count, noise=noise), ["image", "img"])
                session.run(BOTH, feeds_of(count, noise=noise), ["image"], on_device=True)

    use()
    before = sizes()
    for _ in range(5):
        use()
    assert sizes() == before


def test_close_frees_everything(installed: Any, session: TensorRTSession, feeds_of: Any) -> None:
    session.run(BOTH, feeds_of(2), ["image"])
    kept = session.run(BOTH, feeds_of(2, noise="own"), ["img"], on_device=True)[0]
    session.close()
    session.close()
    assert list(installed.device.live) == [kept.pointer]
    assert not installed.device.pinned_live
    assert installed.device.closed == 1
    assert np.isfinite(kept.numpy()).all()  # it lives on
    del kept
    gc.collect()
    assert not installed.device.live
    with pytest.raises(EngineError, match="closed"):
        session.run(BOTH, feeds_of(1), ["image"])


@pytest.mark.parametrize("call", ["open_stream", "allocate", "pinned", "zero", "copy", "record"])
@pytest.mark.parametrize("after", [0, 1, 3])
def test_any_call_of_the_device_may_fail(
    installed: Any,
    session: TensorRTSession,
    feeds_of: Any,
    expected: Any,
    refuses: Any,
    call: str,
    after: int,
) -> None:
    if call in ("open_stream", "record") and after:
        after = 0
    installed.device.failing[call] = after
    with refuses("CUDA", call, error=EngineError):
        session.run(BOTH, feeds_of(2), ["img"])
    feeds = feeds_of(2)  # the lane was thrown away, and the next call has a new one
    assert same(session.run(BOTH, feeds, ["img"])[0], expected(feeds, ["img"])[0])
    session.close()
    assert not installed.device.live
    assert not installed.device.pinned_live


@pytest.mark.parametrize("call", ["launch", "sync", "copy", "event_sync"])
def test_a_later_call_may_fail_too(
    installed: Any, session: TensorRTSession, feeds_of: Any, expected: Any, refuses: Any, call: str
) -> None:
    feeds = feeds_of(2)
    session.run(BOTH, feeds, ["img"], on_device=True)
    installed.device.failing[call] = 0
    with refuses("CUDA", call, error=EngineError):
        session.run(BOTH, feeds, ["img"])
    assert same(session.run(BOTH, feeds, ["img"])[0], expected(feeds, ["img"])[0])
    session.close()
    assert not installed.device.live


@pytest.mark.parametrize(
    ("call", "wrong", "words"),
    [
        ("create_execution_context", None, ["create_execution_context returned None"]),
        (
            "set_optimization_profile_async",
            RuntimeError,  # the fake has the bindings' own words
            ["setting up a batch of 2 failed (Error in set opt", "; profile index is invalid)"],
        ),
        ("create_execution_context", RuntimeError("no"), ["setting up a batch of 2 failed (no)"]),
        ("set_input_shape", TypeError("bad"), ["mapping: setting up a batch of 2 failed (bad)"]),
        ("set_input_shape", False, ["set_input_shape(z, (2, 64)) returned False"]),
        ("set_tensor_address", False, ["set_tensor_address(z) returned False"]),
        ("infer_shapes", ["z", "ws"], ["infer_shapes lacks the shape of z, ws"]),
        ("infer_shapes", RuntimeError("no\nway"), ["setting up a batch of 2 failed (no way)"]),
        ("get_tensor_shape", [1, 2], ["get_tensor_shape(ws) gave (1, 2)", "(2, 8, 64)"]),
        ("execute_async_v3", False, ["mapping: execute_async_v3 returned False"]),
        ("execute_async_v3", TypeError("bad"), ["execute_async_v3 failed (bad)"]),
    ],
)
def test_every_answer_of_tensorrt_is_checked(
    installed: Any,
    session: TensorRTSession,
    feeds_of: Any,
    expected: Any,
    refuses: Any,
    call: str,
    wrong: Any,
    words: list[str],
) -> None:
    installed.world.failing[call] = wrong
    with refuses("tensorrt 11.4.0.106", *words, error=EngineError):
        session.run(BOTH, feeds_of(2), ["img"])
    del installed.world.failing[call]
    feeds = feeds_of(2)
    assert same(session.run(BOTH, feeds, ["img"])[0], expected(feeds, ["img"])[0])


@pytest.mark.parametrize("wrong", [None, ValueError("broken")])
def test_a_plan_that_tensorrt_refuses(
    installed: Any, engines: Path, refuses: Any, wrong: Any
) -> None:
    """It is whole and of this version, so that only a forced build replaces it."""
    installed.world.failing["deserialize_cuda_engine"] = wrong
    command = f"Build it again: stylert build-engine {engines} --compiler tensorrt --force"
    words = ("deserialize_cuda_engine", "Serialization assertion failed", command)
    with refuses(*words, error=EngineError):
        installed.open(engines)
    assert installed.device.closed == 1


@pytest.mark.parametrize(
    ("version", "told"),
    [("535.104.05", "driver 535.104.05 is too old"), (None, "driver is missing or too old")],
)
@pytest.mark.parametrize(
    "reason",
    [
        "CUDA initialization failure with error: 35. Please check your CUDA installation",
        "Error Code 1: Cuda Runtime (CUDA driver version is insufficient for CUDA runtime version)",
    ],
)
def test_a_driver_that_is_too_old(
    installed: Any,
    engines: Path,
    refuses: Any,
    monkeypatch: pytest.MonkeyPatch,
    version: str | None,
    told: str,
    reason: str,
) -> None:
    """To build again would not help."""
    monkeypatch.setattr(driver_remedy, "driver_version", lambda: version)

    def start(self: Any, logger: Any) -> None:
        logger.log(logger.Severity.ERROR, reason)
        raise TypeError("pybind11::init(): factory function returned nullptr")

    monkeypatch.setattr(installed.module.Runtime, "__init__", start)
    remedy = "update it to 580 or newer. Or, from 535 on, take CUDA 12 in a new environment: "
    words = (told, remedy, "pip install tensorrt-cu12 'cuda-bindings<13'")
    with refuses(*words, error=EngineError) as _:
        installed.open(engines)


def test_an_engine_of_another_gpu_is_told(
    installed: Any, bundle_copy: Path, add_plans: Any, feeds_of: Any, expected: Any
) -> None:
    add_plans(bundle_copy, gpu="NVIDIA L40S")
    with pytest.warns(StylertWarning, match="built on NVIDIA L40S and runs on Fake GPU"):
        session = installed.open(bundle_copy)
    feeds = feeds_of(2)
    assert same(session.run(BOTH, feeds, ["img"])[0], expected(feeds, ["img"])[0])
    session.close()


def test_a_changed_plan_is_never_deserialised(installed: Any, engines: Path, refuses: Any) -> None:
    plan = next((engines / "engines").glob("*synthesis*.plan"))
    plan.write_bytes(plan.read_bytes() + b" ")
    with refuses("was changed since it was built", "stylert build-engine", error=EngineError):
        installed.open(engines)
    assert all("synthesis" not in onnx for onnx in installed.world.loaded)


def test_a_plan_whose_tensors_are_not_the_bundles(
    installed: Any, engines: Path, refuses: Any
) -> None:
    installed.world.failing["get_tensor_dtype"] = installed.module.DataType.HALF
    with refuses("is float16", "expected float32", "stylert build-engine", error=EngineError):
        installed.open(engines)


def test_a_plan_whose_profiles_are_not_the_sidecars(
    installed: Any, engines: Path, refuses: Any
) -> None:
    for file in (engines / "engines").glob("*.json"):
        sidecar = json.loads(file.read_text())
        file.write_text(json.dumps({**sidecar, "batches": [[1, 1, 1], [2, 2, 2]]}))
    with refuses("profiles hold", "sidecar says", error=EngineError):
        installed.open(engines)


def test_an_output_that_the_plan_lacks(
    installed: Any, bundle_copy: Path, add_plans: Any, feeds_of: Any, refuses: Any
) -> None:
    add_plans(bundle_copy, outputs=("image",))
    session = installed.open(bundle_copy)
    session.run(BOTH, feeds_of(1), ["image"])
    with refuses("'img'", "--output both", "--compiler tensorrt", error=EngineError):
        session.run(BOTH, feeds_of(1), ["img"])
    session.close()


@pytest.mark.parametrize("lanes", [0, True, 1.5])
def test_lanes_must_be_a_count(installed: Any, engines: Path, refuses: Any, lanes: Any) -> None:
    with refuses("lanes", "at least 1"):
        installed.open(engines, lanes=lanes)


@pytest.mark.parametrize("lanes", [1, 2])
def test_several_threads(
    installed: Any, engines: Path, feeds_of: Any, expected: Any, lanes: int
) -> None:
    session = installed.open(engines, lanes=lanes)

    def draw(seed: int) -> bool:
        feeds = feeds_of(1 + seed % 4, seed=seed, noise=("const", "own", "none")[seed % 3])
        on_device = seed % 2
        got = session.run(BOTH, feeds, ["img"], on_device=bool(on_device))[0]
        return same(got.numpy() if on_device else got, expected(feeds, ["img"])[0])

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(draw, range(24)))
    assert installed.device.calls["open_stream"] <= lanes + 1
    session.close()
    gc.collect()
    assert not installed.device.live


def test_close_waits_for_the_calls_that_run(
    installed: Any, engines: Path, feeds_of: Any, expected: Any
) -> None:
    session = installed.open(engines)
    inside, go_on = threading.Event(), threading.Event()
    feeds = feeds_of(2)
    copy = installed.device.copy

    def slow_copy(*args: Any) -> None:
        inside.set()
        assert go_on.wait(60)
        copy(*args)

    installed.device.copy = slow_copy
    with ThreadPoolExecutor(3) as pool:
        drawing = pool.submit(session.run, BOTH, feeds, ["img"])
        assert inside.wait(60)
        closing = pool.submit(session.close)
        waiting = pool.submit(session.run, BOTH, feeds, ["img"])  # for the only lane
        with pytest.raises(EngineError, match="closed"):
            waiting.result(60)
        assert not closing.done()
        go_on.set()
        assert same(drawing.result(60)[0], expected(feeds, ["img"])[0])
        closing.result(60)
    assert not installed.device.live


@pytest.fixture
def other(goldens: Path, bundle: Path, tmp_path: Path) -> Path:
    """A checkpoint of the same architecture: the weights of the last layers are others."""
    import onnx
    from onnx import numpy_helper

    path = shutil.copytree(bundle, tmp_path / "other")
    for graph in ("mapping", "synthesis", "synthesis.fp16"):
        model = onnx.load(str(path / f"{graph}.onnx"))
        for tensor in model.graph.initializer:
            array = numpy_helper.to_array(tensor)
            if array.dtype.kind == "f" and array.ndim >= 2:
                scaled = array * array.dtype.type(0.9)
                tensor.CopyFrom(numpy_helper.from_array(scaled, tensor.name))
        onnx.save(model, str(path / f"{graph}.onnx"))
    return path


def refittable(fakes: Any, path: Path, add_plans: Any, **fields: Any) -> TensorRTSession:
    add_plans(path, options={"refittable": True}, **fields)
    session: TensorRTSession = fakes.open(path)
    return session


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_refit(
    installed: Any,
    bundle_copy: Path,
    add_plans: Any,
    other: Path,
    feeds_of: Any,
    expected: Any,
    precision: str,
) -> None:
    from stylert.runtime.backends.onnxruntime import OnnxRuntimeSession

    session = refittable(installed, bundle_copy, add_plans, precision=precision)
    assert session.precision == precision
    feeds = feeds_of(2)
    before = session.run(BOTH, feeds, ["img"])[0]
    target = Bundle.open(other, check_files=False)
    session.refit(target)
    after = session.run(BOTH, feeds, ["img"])[0]
    theirs = OnnxRuntimeSession(target, provider="cpu", threads=1, precision=precision)
    assert same(after, theirs.run(BOTH, feeds, ["img"])[0])
    assert not same(before, after)
    session.refit(Bundle.open(bundle_copy))
    assert same(session.run(BOTH, feeds, ["img"])[0], before)
    session.close()


def test_refit_needs_a_refittable_plan(session: TensorRTSession, other: Path, refuses: Any) -> None:
    with refuses("not refittable", "--refittable", error=EngineError):
        session.refit(Bundle.open(other, check_files=False))


def test_refit_needs_the_same_architecture(
    installed: Any, bundle_copy: Path, add_plans: Any, bundle_of: Any, feeds_of: Any, refuses: Any
) -> None:
    session = refittable(installed, bundle_copy, add_plans)
    with refuses("another architecture", "32x32"):
        session.refit(Bundle.open(bundle_of("sg2-cond-32")))
    session.run(BOTH, feeds_of(1), ["image"])  # unharmed
    session.close()


@pytest.mark.parametrize(
    ("call", "wrong", "words"),
    [
        (
            "refit_from_bytes",
            False,
            ["refit_from_bytes(mapping.onnx) returned False, no such weight"],
        ),
        ("refit_from_bytes", RuntimeError("boom"), ["refit from mapping.onnx failed", "boom"]),
        ("get_missing_weights", ["a", "b"], ["mapping.onnx lacks 2 weights"]),
        ("refit_cuda_engine", False, ["refit_cuda_engine returned False"]),
    ],
)
def test_a_refit_that_fails(
    installed: Any,
    bundle_copy: Path,
    add_plans: Any,
    feeds_of: Any,
    refuses: Any,
    call: str,
    wrong: Any,
    words: list[str],
) -> None:
    session = refittable(installed, bundle_copy, add_plans)
    session.run(BOTH, feeds_of(1), ["image"])
    installed.world.failing[call] = wrong
    with refuses(*words, error=EngineError):
        session.refit(Bundle.open(bundle_copy))
    with refuses("of no use", "refit failed halfway", error=EngineError):
        session.run(BOTH, feeds_of(1), ["image"])
    del installed.world.failing[call]
    session.refit(Bundle.open(bundle_copy))  # a whole refit heals it
    session.run(BOTH, feeds_of(1), ["image"])
    session.close()


def test_refit_in_the_lean_runtime(
    fakes: Any, bundle_copy: Path, add_plans: Any, refuses: Any
) -> None:
    fakes.install("tensorrt_lean")
    add_plans(bundle_copy, options={"refittable": True, "version_compatible": True})
    session = fakes.open(bundle_copy)
    assert session.describe()["package"] == "tensorrt_lean"
    with refuses("tensorrt_lean", "no ONNX parser", error=EngineError):
        session.refit(Bundle.open(bundle_copy))
    session.close()


@pytest.mark.parametrize("compatible", [False, True])
def test_host_code_is_allowed_for_version_compatible_plans_only(
    installed: Any, bundle_copy: Path, add_plans: Any, compatible: bool
) -> None:
    add_plans(bundle_copy, options={"version_compatible": compatible})
    installed.open(bundle_copy).close()
    assert installed.world.host_code == [compatible, compatible]


def test_tensorrt_rtx_captures_its_own_graphs(
    fakes: Any, bundle_copy: Path, add_plans: Any, feeds_of: Any, expected: Any
) -> None:
    fakes.install("tensorrt_rtx", "1.7.1.116")
    add_plans(bundle_copy, compiler="tensorrt_rtx", version="1.7.1.116")
    session = fakes.open(bundle_copy)
    feeds = feeds_of(3)
    assert same(session.run(BOTH, feeds, ["img"])[0], expected(feeds, ["img"])[0])
    assert session.describe()["cuda_graphs"] is True
    assert not fakes.device.calls["capture"]
    session.close()


def test_without_any_package(fakes: Any, engines: Path, refuses: Any) -> None:
    with refuses("tensorrt does not load", error=MissingExtra):
        fakes.open(engines)


def test_half_precision_where_the_bundle_has_it(
    installed: Any, bundle_of: Callable[[str], Path], tmp_path: Path, add_plans: Any, refuses: Any
) -> None:
    path = shutil.copytree(bundle_of("sg2-fp16-64"), tmp_path / "half")
    add_plans(path, precision="fp32", compute_capabilities=("7.5",))
    add_plans(path, "synthesis", "mapping", precision="fp16")
    with installed_generator(installed, path) as half, Generator.open(path, provider="cpu") as full:
        a, b = half.generate([1, 2], output="img"), full.generate([1, 2], output="img")
    assert 0 < np.abs(a - b).max() < 0.1
    with refuses("8.9", "7.5", "--precision fp32", error=EngineError):
        installed.open(path, precision="fp32")


def installed_generator(fakes: Any, path: Path) -> Generator:
    session = fakes.open(path)
    assert session.precision == "fp16"
    return Generator(Bundle.open(path), session, max_batch=session.max_batch)
