"""Stands in for Triton's ONNX Runtime backend, which the server from PyPI lacks.

It is put where that backend would lie, so that the server loads a repository for it unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as backend_utils


class TritonPythonModel:
    def initialize(self, args: Mapping[str, str]) -> None:
        config = json.loads(args["model_config"])
        folder = Path(args["model_repository"]) / args["model_version"]
        self._outputs = [output["name"] for output in config["output"]]
        self._session = onnxruntime.InferenceSession(
            str(folder / config["default_model_filename"]), providers=["CPUExecutionProvider"]
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        feeds = [{t.name(): t.as_numpy() for t in request.inputs()} for request in requests]
        joined = {key: np.concatenate([f[key] for f in feeds]) for key in feeds[0]}
        outputs = self._session.run(self._outputs, joined)
        ends = np.cumsum([len(next(iter(f.values()))) for f in feeds])[:-1]
        parts = [np.split(array, ends) for array in outputs]
        return [
            backend_utils.InferenceResponse(
                [
                    backend_utils.Tensor(name, part[i])
                    for name, part in zip(self._outputs, parts, strict=True)
                ]
            )
            for i in range(len(requests))
        ]
