"""`LaunchTimer`: what it takes the time of, in each backend. On a fake GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from stylert.runtime.backends import open_session
from stylert.runtime.backends.cuda.launch_timer import LaunchTimer
from stylert.runtime.backends.onnxruntime import OnnxRuntimeSession
from stylert.runtime.bundle import Bundle
from stylert.runtime.feeds import Feeds

BOTH = ("mapping", "synthesis")

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


@pytest.fixture
def timer(installed: Any) -> LaunchTimer:
    return LaunchTimer(installed.device)


def test_spans_add_up_until_somebody_asks(installed: Any, timer: LaunchTimer) -> None:
    with installed.device.active():
        stream = installed.device.open_stream()
    for pieces in (3, 2):
        with timer.around(stream):
            for _ in range(pieces):
                stream.queue(lambda: None)
        stream.queue(lambda: None)  # between the spans
    assert installed.device.calls["sync"] == 0
    assert timer.seconds() == pytest.approx(5e-3)  # the fake's work takes a millisecond each
    assert timer.seconds() == 0


def test_a_launch_that_fails_is_no_span(installed: Any, timer: LaunchTimer) -> None:
    with installed.device.active():
        stream = installed.device.open_stream()
    with pytest.raises(ZeroDivisionError), timer.around(stream):
        raise ZeroDivisionError
    assert timer.seconds() == 0


@pytest.mark.parametrize("cuda_graphs", [False, True])
def test_engine(
    installed: Any, engines: Path, timer: LaunchTimer, feeds_of: Any, *, cuda_graphs: bool
) -> None:
    session = installed.open(engines, timer=timer, cuda_graphs=cuda_graphs)
    plain = installed.open(engines)
    device = installed.device
    for _ in range(3):
        device.calls.clear()
        (got,) = session.run(BOTH, feeds_of(2), ["img"])
        assert device.calls["mark"] == 2
        assert timer.seconds() == pytest.approx(2e-3)  # two graphs, and none of the copies
        assert np.array_equal(got, plain.run(BOTH, feeds_of(2), ["img"])[0])
    device.calls.clear()
    session.run(BOTH, feeds_of(2), ["img"], on_device=True)
    assert timer.seconds() == pytest.approx(2e-3)
    device.calls.clear()
    plain.run(BOTH, feeds_of(2), ["img"])
    assert not device.calls["mark"]
    session.close()
    plain.close()


def test_a_session_is_opened_on_the_timers_device(engines: Path, timer: LaunchTimer) -> None:
    session, _ = open_session(Bundle.open(engines), backend="tensorrt", timer=timer)
    assert session.describe()["gpu"] == "Fake GPU"
    session.close()


def test_onnxruntime_runs_on_a_stream_that_is_watched(
    bundle: Path, installed: Any, timer: LaunchTimer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    real = onnxruntime.InferenceSession

    class OnCuda(real):  # type: ignore[misc, valid-type]
        def __init__(self, path: str, options: Any, *, providers: Any, **keywords: Any) -> None:
            asked.append(providers)
            super().__init__(path, providers=[CPU])

        def get_providers(self) -> list[str]:
            return [CUDA, CPU]

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)
    monkeypatch.setattr(onnxruntime, "InferenceSession", OnCuda)
    session = OnnxRuntimeSession(Bundle.open(bundle), provider="cuda", gpu=2, timer=timer)
    ((mapping,), (synthesis,)) = asked
    assert mapping == synthesis
    handle = int(mapping[1].pop("user_compute_stream"))
    assert handle in installed.device.streams
    options = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
    assert mapping == (CUDA, {"device_id": "2", **options})
    assert session.describe()["gpu_index"] == 2
    installed.device.calls.clear()
    z = np.zeros((1, 64), np.float32)
    feeds = Feeds(1, {"z": z, "truncation_psi": np.ones((1, 8), np.float32)})
    session.run(("mapping",), feeds, ["ws"])
    assert installed.device.calls["mark"] == 2
    assert timer.seconds() == 0  # the fake's stream has seen nothing of it
