"""What TensorRT says: errors are kept, and a flood of details costs next to nothing."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from stylert.runtime.backends.tensorrt.tensorrt_log import tensorrt_logger


@pytest.fixture
def logger() -> Any:
    trt = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    logger = tensorrt_logger(trt)
    logger.clear()
    yield logger
    logger.clear()


def say_all(logger: Any) -> None:
    for name in ("INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE"):
        logger.log(getattr(logger.Severity, name), f"{name}\n%s")


@pytest.mark.parametrize(
    ("level", "heard"),
    [
        (logging.WARNING, []),
        (logging.INFO, ["INTERNAL_ERROR", "ERROR", "WARNING"]),
        (logging.DEBUG, ["INTERNAL_ERROR", "ERROR", "WARNING", "INFO"]),
        (5, ["INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE"]),
    ],
)
def test_details_are_for_those_who_ask(
    logger: Any, caplog: pytest.LogCaptureFixture, level: int, heard: list[str]
) -> None:
    with caplog.at_level(level, "stylert.tensorrt"):
        say_all(logger)
    assert [record.getMessage() for record in caplog.records] == [f"{name}\n%s" for name in heard]
    assert logger.reason == "INTERNAL_ERROR %s ERROR %s"
    assert logger.take() == "ERROR %s"


def test_a_detail_that_nobody_hears_makes_no_record(
    logger: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build has thousands of them."""
    made: list[Any] = []
    with caplog.at_level(logging.WARNING, "stylert.tensorrt"):
        monkeypatch.setattr(
            logging.getLogger("stylert.tensorrt"), "log", lambda *args: made.append(args)
        )
        say_all(logger)
    assert made == []
