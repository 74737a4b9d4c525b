"""Proves that an ONNX Runtime provider works here: it runs the smallest model with a convolution.

A provider that is listed is not yet one that runs: its CUDA or cuDNN libraries may be missing, and
ONNX Runtime then falls back to the CPU. The model is y = Conv(x, w), all three of shape [1,1,1,1],
written here field by field, since `onnx` is no dependency of the runtime.
"""

from __future__ import annotations

import contextlib
import io

import numpy as np

from stylert.runtime.errors import EngineError
from stylert.runtime.packages import keep_silent

__all__ = ["probe_model", "probe_provider"]

_SILENT = 4  # ONNX Runtime's severity 'fatal': a failure is told in the exception


def probe_provider(provider: str) -> None:
    """Runs the model on `provider`, e.g. 'CUDAExecutionProvider', of the ONNX Runtime installed.

    Raises:
        EngineError: the provider is not there, does not start, or computes wrongly.
    """
    keep_silent()
    import onnxruntime as ort

    if provider not in ort.get_available_providers():
        raise EngineError(f"{provider}: this ONNX Runtime has only {ort.get_available_providers()}")
    with contextlib.redirect_stdout(io.StringIO()) as said:  # preload_dlls prints what it misses
        if provider == "CUDAExecutionProvider" and hasattr(ort, "preload_dlls"):
            ort.preload_dlls()
    options = ort.SessionOptions()
    options.log_severity_level = _SILENT
    options.intra_op_num_threads = 1
    if provider != "CPUExecutionProvider":
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    ort.set_default_logger_severity(_SILENT)
    try:
        session = ort.InferenceSession(
            probe_model(), options, providers=[provider], enable_fallback=0
        )
        used = session.get_providers()
        x, w = (np.full((1, 1, 1, 1), value, np.float32) for value in (2.0, 3.0))
        y = float(session.run(["y"], {"x": x, "w": w})[0].item())
    except Exception as error:  # ONNX Runtime's exceptions have no common base but Exception
        raise EngineError(f"{provider}: {_one_line(str(error), said.getvalue())}") from error
    finally:
        ort.set_default_logger_severity(2)  # its default, 'warning'
    if used[0] != provider:
        heard = _one_line(said.getvalue()) or "its libraries did not load"
        raise EngineError(f"{provider}: ONNX Runtime fell back to {used[0]}: {heard}")
    if y != 6.0:
        raise EngineError(f"{provider}: 2 * 3 gave {y}")


def probe_model() -> bytes:
    """The model as an ONNX file (IR version 8, opset 13), in protobuf's wire format."""
    operator = _field(1, b"x") + _field(1, b"w") + _field(2, b"y") + _field(4, b"Conv")
    graph = (
        _field(1, operator)  # GraphProto.node
        + _field(2, b"probe")  # .name
        + _field(11, _value(b"x"))  # .input
        + _field(11, _value(b"w"))
        + _field(12, _value(b"y"))  # .output
    )
    opset = _number(2, 13)  # OperatorSetIdProto.version
    return _number(1, 8) + _field(7, graph) + _field(8, opset)  # ModelProto


def _value(name: bytes) -> bytes:
    """A ValueInfoProto: float32 [1,1,1,1]."""
    dimension = _field(1, _number(1, 1))  # TensorShapeProto.dim.dim_value = 1
    tensor = _number(1, 1) + _field(2, dimension * 4)  # .elem_type = FLOAT, .shape
    return _field(1, name) + _field(2, _field(1, tensor))  # .name, .type.tensor_type


def _field(number: int, payload: bytes) -> bytes:
    """A length-delimited field; all lengths here fit one byte."""
    assert len(payload) < 128
    return bytes([number << 3 | 2, len(payload)]) + payload


def _number(number: int, value: int) -> bytes:
    """A varint field; all values here fit one byte."""
    return bytes([number << 3, value])


def _one_line(*texts: str) -> str:
    return " ".join(" ".join(texts).split())
