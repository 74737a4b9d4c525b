"""Networks that users bring as ONNX files: of features, of pictures and words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stylert.runtime.arguments import shown
from stylert.runtime.errors import InvalidInput, MissingExtra
from stylert.runtime.machine import usable_cpus
from stylert.runtime.packages import import_extra, onnxruntime_distribution

__all__ = ["open_model", "open_network"]

ERRORS = 3  # of ONNX Runtime's levels of severity: it warns of what users cannot change


def open_network(
    path: Path,
    *,
    argument: str,
    threads: int | None = None,
    provider: tuple[str, Mapping[str, Any]] = ("CPUExecutionProvider", {}),
) -> Any:
    """Open an ONNX file of somebody else's with ONNX Runtime.

    Args:
        path: the file.
        argument: the name that errors begin with.
        threads: CPU threads of a call, None = all CPUs that this process may use.
        provider: as ONNX Runtime names it, and its options. That it is there, the caller knows.

    Returns:
        The `InferenceSession`.

    Raises:
        InvalidInput: no such file, or none that ONNX Runtime reads.
        MissingExtra: ONNX Runtime is not installed.
    """
    if not path.is_file():
        raise InvalidInput(f"{argument}: got {shown(str(path))}, expected an ONNX file.")
    try:
        return open_model(str(path), threads=threads, provider=provider)
    except MissingExtra:
        raise
    except Exception as error:  # ONNX Runtime's own classes
        reason = " ".join(str(error).split())[:200]
        raise InvalidInput(
            f"{argument}: got {path}, which ONNX Runtime cannot read: {reason}"
        ) from None


def open_model(
    model: str | bytes,
    *,
    threads: int | None = None,
    provider: tuple[str, Mapping[str, Any]] = ("CPUExecutionProvider", {}),
) -> Any:
    """The `InferenceSession` of a file or of what one holds; as `open_network`, whatever it raises.

    Raises:
        MissingExtra: ONNX Runtime is not installed.
    """
    ort = import_extra("onnxruntime", onnxruntime_distribution() or "onnxruntime", extra="cpu")
    options = ort.SessionOptions()
    options.intra_op_num_threads = usable_cpus() if threads is None else threads
    options.log_severity_level = ERRORS
    # Such a network works in turns with a generator: its idle threads would take the CPUs from it.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return ort.InferenceSession(model, options, providers=[provider])
