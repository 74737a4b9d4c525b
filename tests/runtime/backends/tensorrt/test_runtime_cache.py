"""The kernels that TensorRT-RTX compiles: once for an engine and a GPU, and kept."""

from __future__ import annotations

import gc
import os
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from stylert.runtime.backends.tensorrt.engine import BoundContext
from stylert.runtime.backends.tensorrt.plans import list_plans
from stylert.runtime.backends.tensorrt.runtime_cache import RuntimeCache
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import EngineError, StylertWarning

BOTH = ("mapping", "synthesis")
VERSION = "1.7.1.116"
Draw = Callable[..., None]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    return tmp_path / "caches" / "stylert"


@pytest.fixture
def rtx(fakes: Any, bundle_copy: Path, add_plans: Any, folder: Path) -> Any:
    """A fake GPU with TensorRT-RTX; `rtx.bundle` has engines for it."""
    fakes.install("tensorrt_rtx", VERSION)
    add_plans(bundle_copy, compiler="tensorrt_rtx", version=VERSION, gpu=None)
    fakes.bundle = bundle_copy
    return fakes


@pytest.fixture
def draw(rtx: Any, feeds_of: Any) -> Draw:
    """Opens the bundle, draws batches of these sizes, and closes it. `close=False`: is killed."""

    def draw(*counts: int, close: bool = True, **options: Any) -> None:
        session = rtx.open(rtx.bundle, **options)
        for count in counts:
            session.run(BOTH, feeds_of(count), ["image"])
        if close:
            session.close()

    return draw


def compiled(rtx: Any) -> int:
    """How many kernels were compiled since the last time that this was asked."""
    count = len(rtx.world.compiled)
    rtx.world.compiled.clear()
    return count


@pytest.mark.parametrize("options", [{}, {"cuda_graphs": False}, {"lanes": 2}])
def test_the_second_start_compiles_nothing(
    rtx: Any, draw: Draw, folder: Path, options: dict[str, Any]
) -> None:
    draw(1, 4, 4, **options)
    assert compiled(rtx) == 4
    plans = list_plans(Bundle.open(rtx.bundle))
    names = {f"rtx-{VERSION}-fake_gpu-{plan.sha256}.cache" for plan in plans}
    assert {file.name for file in folder.iterdir()} == names
    assert folder.stat().st_mode & 0o077 == 0
    draw(4, 1, **options)
    assert compiled(rtx) == 0


def test_contexts_of_an_engine_share_it(rtx: Any, draw: Draw, feeds_of: Any) -> None:
    """Noise of one's own is another program with contexts of its own."""
    session = rtx.open(rtx.bundle)
    for noise in ("const", "none", "const"):
        session.run(BOTH, feeds_of(2, noise=noise), ["image"])
    assert rtx.world.calls["create_execution_context"] == 4
    assert compiled(rtx) == 2
    session.close()


def test_contexts_take_their_kernels_at_once(rtx: Any, feeds_of: Any, monkeypatch: Any) -> None:
    engine, made = rtx.module.Engine, []
    create = engine.create_execution_context
    monkeypatch.setattr(
        engine, "create_execution_context", lambda self, c: made.append(c) or create(self, c)
    )
    for cuda_graphs in (True, False):
        session = rtx.open(rtx.bundle, cuda_graphs=cuda_graphs)
        session.run(BOTH, feeds_of(1), ["image"])
        assert [c.dynamic_shapes_kernel_specialization_strategy.name for c in made] == ["EAGER"] * 2
        strategy = "WHOLE_GRAPH_CAPTURE" if cuda_graphs else "DISABLED"
        assert [c.cuda_graph_strategy.name for c in made] == [strategy] * 2
        made.clear()
        session.close()


def test_a_process_that_is_killed_keeps_its_kernels(rtx: Any, draw: Draw) -> None:
    draw(1, 2, close=False)
    assert compiled(rtx) == 4
    draw(1, 2, 4)
    assert compiled(rtx) == 2


def test_a_cache_is_written_only_when_it_grew(rtx: Any, draw: Draw, folder: Path) -> None:
    draw(1)
    stamps = {file: file.stat().st_ino for file in folder.iterdir()}
    draw(1, 1)
    assert {file: file.stat().st_ino for file in folder.iterdir()} == stamps
    draw(1, 2)
    assert not stamps.items() & {file: file.stat().st_ino for file in folder.iterdir()}.items()


@pytest.mark.parametrize("damage", ["junk", "cut", "driver", "empty"])
def test_a_cache_that_does_not_fit_is_made_anew_and_told_once(
    rtx: Any, draw: Draw, folder: Path, damage: str
) -> None:
    draw(1)
    for file in folder.iterdir():
        kept = file.read_bytes()
        file.write_bytes({"junk": b"\xff" * 99, "cut": kept[:20], "empty": b""}.get(damage, kept))
    if damage == "driver":
        rtx.world.driver = "590.10"
    compiled(rtx)
    with pytest.warns(
        StylertWarning, match=r"kept in .*\.cache are damaged, or of another"
    ) as told:
        draw(1)
    assert len(told) == 2  # one for each engine
    assert compiled(rtx) == 2
    draw(1)
    assert compiled(rtx) == 0


def test_bindings_that_raise_do_not_stop_it(rtx: Any, draw: Draw) -> None:
    draw(1)
    rtx.world.failing["deserialize"] = RuntimeError("no")
    with pytest.warns(StylertWarning, match="are damaged"):
        draw(1)
    del rtx.world.failing["deserialize"]
    rtx.world.failing["serialize"] = RuntimeError("out of\nmemory")
    with pytest.warns(StylertWarning, match=r"cannot be kept \(out of memory\)"):
        draw(1, 2)


def test_a_cache_that_is_not_taken_is_told(rtx: Any, draw: Draw) -> None:
    rtx.world.failing["set_runtime_cache"] = False
    with pytest.warns(StylertWarning, match=r"cannot be kept \(TensorRT-RTX does not") as told:
        draw(1, 2)
    assert len(told) == 2  # one for each engine


def test_a_folder_that_cannot_be_written_is_told_and_stops_nothing(
    rtx: Any, draw: Draw, folder: Path
) -> None:
    folder.parent.write_text("no folder")
    with pytest.warns(StylertWarning, match="cannot be kept .* Set XDG_CACHE_HOME") as told:
        draw(1, 2, 4)
    assert len(told) == 2  # one for each engine


def test_a_session_closes_though_warnings_are_errors(rtx: Any, feeds_of: Any, folder: Path) -> None:
    session = rtx.open(rtx.bundle)
    session.run(BOTH, feeds_of(1), ["image"])
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    folder.write_text("no folder")
    rtx.world.compiled.clear()
    caches = [engine._runtime_cache for engine in session._engines.values()]
    for cache in caches:
        cache._size = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(StylertWarning, match="cannot be kept"):
            session.close()
    assert not rtx.device.live
    assert rtx.device.closed == 1


def test_gpus_and_versions_do_not_share_kernels(rtx: Any, draw: Draw, folder: Path) -> None:
    draw(1)
    rtx.device.name = "Other GPU (8 GB)"
    draw(1)
    assert compiled(rtx) == 4
    assert len([file for file in folder.iterdir() if "-other_gpu_8_gb-" in file.name]) == 2


def test_two_processes_may_write_at_once(rtx: Any, feeds_of: Any, folder: Path, draw: Draw) -> None:
    """They share a process id, as in containers: each one writes a file of its own at first."""
    first, second = rtx.open(rtx.bundle), rtx.open(rtx.bundle)
    partials = set()
    replace = os.replace

    def seen(source: Any, target: Any, **options: Any) -> None:
        partials.add(os.fspath(source))
        replace(source, target, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", seen)
        first.run(BOTH, feeds_of(1), ["image"])
        second.run(BOTH, feeds_of(1), ["image"])
        second.run(BOTH, feeds_of(2), ["image"])
    assert len(partials) == 6
    first.close()
    second.close()
    assert not [file for file in folder.iterdir() if file.name.endswith(".partial")]
    compiled(rtx)
    draw(1, 2)
    assert compiled(rtx) == 0


def test_a_user_without_a_home(rtx: Any, draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", home)
    with pytest.warns(StylertWarning, match="home directory"):
        draw(1)


def test_a_context_goes_before_what_it_uses() -> None:
    """TensorRT's bindings keep neither the config nor the cache alive."""
    gone: list[str] = []

    class Thing:
        pass

    context, config, cache = Thing(), Thing(), cast(RuntimeCache, Thing())
    things = {"context": context, "config": config, "cache": cache}
    for name, thing in things.items():
        weakref.finalize(thing, gone.append, name)
    package: Any = None
    bound = BoundContext(package, context, "mapping", config, cache)
    del context, config, cache, things, thing
    gc.collect()
    assert gone == []
    del bound
    assert gone == ["context", "config", "cache"]


def test_a_failed_call_tells_no_old_reason(rtx: Any, draw: Draw, refuses: Any) -> None:
    rtx.world.failing["set_tensor_address"] = False
    with refuses("set_tensor_address(z) returned False (it gave no reason)", error=EngineError):
        draw(1)
