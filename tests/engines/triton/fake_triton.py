"""What Triton's python backend gives a model, for tests without a server."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from google.protobuf import json_format

from stylert.engines.triton.schema import parse_config


class Tensor:
    def __init__(self, name: str, array: np.ndarray) -> None:
        self._name, self._array = name, array

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> np.ndarray:
        return self._array


class TritonError(Exception):
    INVALID_ARG = 3

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class InferenceResponse:
    def __init__(
        self, output_tensors: Sequence[Tensor] = (), error: TritonError | None = None
    ) -> None:
        self.output_tensors, self.error = output_tensors, error


# The module triton_python_backend_utils.
BACKEND_UTILS = SimpleNamespace(
    Tensor=Tensor, TritonError=TritonError, InferenceResponse=InferenceResponse
)


class Model:
    """A Python model of a repository, loaded from its own file and configuration."""

    def __init__(self, folder: Path) -> None:
        (file,) = folder.glob("*/model.py")
        spec = importlib.util.spec_from_file_location("model", file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        config = parse_config((folder / "config.pbtxt").read_text())
        text = json_format.MessageToJson(config, preserving_proto_field_name=True)
        self._model: Any = module.TritonPythonModel()
        self._model.initialize({"model_config": text})

    def __call__(self, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """Ask once; its error is raised."""
        (answer,) = self.ask([arrays])
        if isinstance(answer, TritonError):
            raise answer
        return answer

    def ask(
        self, requests: Sequence[Mapping[str, np.ndarray]]
    ) -> list[dict[str, np.ndarray] | TritonError]:
        """Ask for several at a time: outputs or the error of each."""
        tensors = [[Tensor(name, array) for name, array in one.items()] for one in requests]
        responses = self._model.execute([SimpleNamespace(inputs=lambda t=t: t) for t in tensors])
        return [
            response.error or {t.name(): t.as_numpy() for t in response.output_tensors}
            for response in responses
        ]
