"""A feature network is an ONNX file: pictures in, one row of features each out.

Its input is float32 [N, 3, S, S], its first output float32 [N, d], with N free. Its metadata say
what it is and how pictures are brought to it:

    stylert.name     what every figure is told with, such as 'EfficientNet-lite0'
    stylert.range    of the pixels, '0,255' or '-1,1': black, and white
    stylert.resize   'bilinear', 'bicubic' or 'bicubic-bytes', see `resizing`
    stylert.licence  of its weights, if it is known
    stylert.weights  SHA-256 of the file that they come from, if there was one
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stylert.apps.evaluation.resizing import RESIZES
from stylert.runtime.arguments import shown
from stylert.runtime.errors import EngineError, InvalidInput
from stylert.runtime.files.listed import hash_file
from stylert.runtime.files.network_files import open_network
from stylert.runtime.packages import import_extra, onnxruntime_distribution

__all__ = ["PREFIX", "FeatureNetwork"]

PREFIX = "stylert."  # of the names of metadata
BATCH = 8  # pictures of a call: the same for all, as their number decides how a backend rounds
# By default CUDA has only the 10 bits of TF32 for float32.
PROVIDERS: dict[str, tuple[str, dict[str, str]]] = {
    "cpu": ("CPUExecutionProvider", {}),
    "cuda": ("CUDAExecutionProvider", {"use_tf32": "0"}),
}


@dataclass(frozen=True)
class _Wishes:
    """How pictures are brought to a network."""

    name: str
    range: tuple[float, float]
    resize: str
    licence: str
    weights: str


class FeatureNetwork:
    """A feature network in ONNX Runtime. Open one with `FeatureNetwork.open`.

    Attributes:
        name: what its figures are told with.
        licence: of its weights, '' where the file does not tell.
        sha256: of the weights where the file tells it, else of the file.
        size: of the pictures that it takes, S.
        dim: of its features, d.
    """

    def __init__(self, session: Any, wishes: _Wishes, sha256: str, size: int, dim: int) -> None:
        self.name, self.licence = wishes.name, wishes.licence
        self.sha256 = wishes.weights or sha256
        self.size, self.dim = size, dim
        self._wishes = wishes
        self._session = session
        self._input = session.get_inputs()[0].name
        self._output = session.get_outputs()[0].name

    @classmethod
    def open(
        cls, path: str | Path, *, provider: str = "cpu", threads: int | None = None
    ) -> FeatureNetwork:
        """Open an ONNX file.

        Args:
            path: the file.
            provider: 'cpu' or 'cuda'.
            threads: CPU threads of a call, None = all CPUs that this process may use.

        Raises:
            InvalidInput: no such file, or no network that gives [N, d] of pictures.
            MissingExtra: ONNX Runtime is not installed.
            EngineError: the provider is not there.
        """
        path = Path(path)
        ort = import_extra("onnxruntime", onnxruntime_distribution() or "onnxruntime", extra="cpu")
        if PROVIDERS[provider][0] not in ort.get_available_providers():
            raise EngineError(f"provider {provider!r}: this ONNX Runtime has none for {path.name}.")
        session = open_network(
            path, argument="features", threads=threads, provider=PROVIDERS[provider]
        )
        wishes = _read_wishes(session.get_modelmeta().custom_metadata_map, path)
        size, dim = _read_shapes(session, path)
        return cls(session, wishes, hash_file(path), size, dim)

    def describe(self) -> dict[str, Any]:
        """What every figure is told with: name, dim, size, resize, sha256, licence."""
        return {
            "name": self.name,
            "dim": self.dim,
            "size": self.size,
            "resize": self._wishes.resize,
            "sha256": self.sha256,
            "licence": self.licence,
        }

    def extract(self, images: np.ndarray) -> np.ndarray:
        """The features of pictures, whatever the others beside them.

        Args:
            images: [N, H, W, C] of 0 to 255, uint8 or float32; C is 1 or 3.

        Returns:
            [N, d] float32.

        Raises:
            InvalidInput: the network gives numbers that are not finite.
            EngineError: ONNX Runtime failed.
        """
        features = np.empty((len(images), self.dim), np.float32)
        for start in range(0, len(images), BATCH):
            part = images[start : start + BATCH]
            batch = self._prepare(part)
            if batch.shape[:2] != (BATCH, 3):  # the last ones, or grey
                full = np.zeros((BATCH, 3, self.size, self.size), np.float32)
                full[: len(part)] = batch
                batch = full
            try:
                given = self._session.run([self._output], {self._input: batch})[0]
            except Exception as error:  # ONNX Runtime's own classes
                raise EngineError(f"{self.name}: {' '.join(str(error).split())[:200]}") from None
            features[start : start + len(part)] = given[: len(part)]
        if not np.isfinite(features).all():
            raise InvalidInput(
                f"features: got numbers that are not finite from {self.name}, expected a network "
                "that gives finite ones of all pictures."
            )
        return features

    def _prepare(self, images: np.ndarray) -> np.ndarray:
        """Pictures as the network takes them: [N, 3 or 1, S, S] float32."""
        if images.shape[1:3] == (self.size, self.size):
            pixels = images.astype(np.float32).transpose(0, 3, 1, 2)
        else:
            pixels = RESIZES[self._wishes.resize](images, self.size)
        black, white = self._wishes.range
        if (black, white) == (0, 255):
            return pixels
        return np.asarray(pixels * np.float32((white - black) / 255) + np.float32(black))


def _read_wishes(metadata: dict[str, str], path: Path) -> _Wishes:
    told = {k.removeprefix(PREFIX): v for k, v in metadata.items() if k.startswith(PREFIX)}
    if missing := [name for name in ("name", "range", "resize") if not told.get(name)]:
        raise InvalidInput(
            f"features: got {path} without metadata {PREFIX}{missing[0]}, expected {PREFIX}name, "
            f"{PREFIX}range and {PREFIX}resize, which say how pictures are brought to it; see "
            "docs/evaluation.md."
        )
    try:
        black, white = map(float, told["range"].split(","))
    except ValueError:
        black = white = math.nan
    if not (math.isfinite(black) and black < white < math.inf) or told["resize"] not in RESIZES:
        raise InvalidInput(
            f"features: got {path} with the range {shown(told['range'])} and the resize "
            f"{shown(told['resize'])}, expected such as '0,255' and one of {', '.join(RESIZES)}."
        )
    return _Wishes(
        told["name"],
        (black, white),
        told["resize"],
        told.get("licence", ""),
        told.get("weights", ""),
    )


def _read_shapes(session: Any, path: Path) -> tuple[int, int]:
    """The sizes S of the input and d of the output."""
    inputs, output = session.get_inputs(), session.get_outputs()[0]
    taken, given = inputs[0].shape, output.shape
    is_network = (
        len(inputs) == 1
        and (inputs[0].type, output.type) == ("tensor(float)", "tensor(float)")
        and len(taken) == 4
        and taken[1] == 3
        and taken[2] == taken[3]
        and not isinstance(taken[0], int)
        and len(given) == 2
        and all(isinstance(size, int) for size in (taken[2], given[1]))
    )
    if not is_network:
        raise InvalidInput(
            f"features: got {path}, which takes {inputs[0].type} {taken} and gives {output.type} "
            f"{given}, expected float [N, 3, S, S] and [N, d], with S and d fixed and N free."
        )
    return taken[2], given[1]
