"""The models `mapping` and `synthesis` of a Triton repository that runs on CPUs with StyleRT.

It is copied into the repository as it is, and runs in Triton's python backend, which needs
StyleRT with its extra `cpu` there. Beside it lies what it runs: the whole `bundle/`, whose
synthesis it draws, or the mapping graph alone, which is too small to gain from more than ONNX
Runtime itself.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["TritonPythonModel"]

Arrays = Mapping[str, np.ndarray]


class TritonPythonModel:
    """What the python backend runs: one process for each instance, called by one thread."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Open the graph, and draw once: a model that cannot draw is not to be ready."""
        import triton_python_backend_utils as backend_utils

        self._backend = backend_utils
        config = json.loads(args["model_config"])
        folder = Path(__file__).parent
        self._run: Callable[[Arrays], Arrays]
        if (folder / "bundle").is_dir():
            threads = config.get("parameters", {}).get("threads", {}).get("string_value", "")
            self._run = _Synthesis(
                folder / "bundle",
                threads=int(threads) if threads else None,
                max_batch=int(config["max_batch_size"]),
            )
        else:
            self._run = _Mapping(next(folder.glob("*.onnx")))

    def execute(self, requests: list[Any]) -> list[Any]:
        """Run all requests as one batch; if that fails, each by itself, to blame the right one."""
        backend = self._backend
        feeds = [{t.name(): t.as_numpy() for t in request.inputs()} for request in requests]
        try:
            outputs = self._run({key: np.concatenate([f[key] for f in feeds]) for key in feeds[0]})
        except Exception as error:
            if len(requests) > 1:
                return [self.execute([request])[0] for request in requests]
            failure = backend.TritonError(" ".join(str(error).split()))
            return [backend.InferenceResponse(error=failure)]
        ends = np.cumsum([len(next(iter(f.values()))) for f in feeds])[:-1]
        parts = {name: np.split(array, ends) for name, array in outputs.items()}
        return [
            backend.InferenceResponse([backend.Tensor(name, parts[name][i]) for name in parts])
            for i in range(len(requests))
        ]


class _Mapping:
    """z, c and truncation_psi -> ws."""

    def __init__(self, path: Path) -> None:
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # else its import sends events
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, feeds: Arrays) -> Arrays:
        return {"ws": self._session.run(["ws"], dict(feeds))[0]}


class _Synthesis:
    """ws, the noise and the transform -> image."""

    def __init__(self, bundle: Path, *, threads: int | None, max_batch: int) -> None:
        import stylert

        self._generator = stylert.open(
            bundle, backend="onnxruntime", provider="cpu", threads=threads, max_batch=max_batch
        )
        spec = self._generator.spec
        self._generator.synthesize(np.resize(self._generator.w_avg, (1, spec.num_ws, spec.w_dim)))

    def __call__(self, feeds: Arrays) -> Arrays:
        noise = {name: array for name, array in feeds.items() if name.startswith("noise")}
        images = self._generator.synthesize(
            feeds["ws"], noise=noise or None, transform=feeds.get("transform")
        )
        return {"image": images}
