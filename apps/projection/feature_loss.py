"""`FeatureLoss`: how far pictures are from others as a feature network sees them, by ONNX Runtime.

Its file is written once by `stylert features --gradient`, or `write_feature_loss` of
`stylert.export.adjoint.feature_loss`, of any feature network: the network, the squared distance of
its features, and the gradient of that.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from stylert.apps.projection.resampling import fold_channels, make_resampling, spread_channels
from stylert.runtime import EngineError, InvalidInput
from stylert.runtime.files.listed import hash_file
from stylert.runtime.files.network_files import open_network

__all__ = ["FeatureLoss"]

LOSS = "stylert.loss"  # the metadata that tells such a file
INPUTS, OUTPUTS = {"img", "target"}, {"features", "loss", "grad_img"}
AT_ONCE = 4  # pictures: their maps are large


class FeatureLoss:
    """The loss of a feature network. Open one with `FeatureLoss.open`.

    Attributes:
        name: of the network.
        sha256: of the file.
        size: of the pictures that the network sees.
    """

    def __init__(self, session: Any, sha256: str) -> None:
        told = session.get_modelmeta().custom_metadata_map
        shapes = {t.name: t.shape for t in session.get_inputs()}
        self.name = told.get("stylert.name", "features")
        self.sha256 = sha256
        self.size, self._dim = int(shapes["img"][2]), int(shapes["target"][1])
        self._resize = told["stylert.resize"]
        self._session = session

    @staticmethod
    def is_one(path: Path) -> bool:
        """Whether a file holds a loss, not a feature network alone.

        Raises:
            InvalidInput: it is no ONNX file.
            MissingExtra: ONNX Runtime is not installed.
        """
        return _holds_loss(open_network(path, argument="features", threads=1))

    @classmethod
    def open(cls, path: str | Path, *, threads: int | None = None) -> FeatureLoss:
        """Open the file of a loss.

        Args:
            path: the file.
            threads: CPU threads of a call, None = all CPUs that this process may use.

        Raises:
            InvalidInput: no such file, or one that holds no loss.
            MissingExtra: ONNX Runtime is not installed.
        """
        path = Path(path)
        session = open_network(path, argument="features", threads=threads)
        if not _holds_loss(session):
            raise InvalidInput(
                f"features: got {path}, which holds no gradient. Make it: stylert features {path} "
                f"--gradient --out {path.stem}-loss.onnx"
            )
        return cls(session, hash_file(path))

    def describe(self, img: np.ndarray) -> np.ndarray:
        """The features [N, d] of pictures.

        Args:
            img: [N, C, H, W] floats in [-1, 1]; C is 1, 3 or 4.

        Raises:
            EngineError: ONNX Runtime failed.
        """
        zeros = np.zeros((len(img), self._dim), np.float32)
        return self._run(["features"], img, zeros)[0]

    def measure(self, img: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The squared distance of pictures' features from others [N], and its gradient.

        Args:
            img: [N, C, H, W] floats in [-1, 1].
            target: [N, d], as `describe` gives them.

        Returns:
            The loss [N], and its gradient by img, [N, C, H, W].

        Raises:
            EngineError: ONNX Runtime failed.
        """
        loss, gradient = self._run(["loss", "grad_img"], img, target)
        rows, columns = self._find_matrices(img)
        back = np.matmul(np.matmul(rows.T, gradient), columns)  # [N, 3, H, W]
        return loss, fold_channels(back, img.shape[1])

    def _run(self, outputs: list[str], img: np.ndarray, target: np.ndarray) -> list[np.ndarray]:
        rows, columns = self._find_matrices(img)
        seen = np.matmul(np.matmul(rows, spread_channels(img)), columns.T)  # [N, 3, S, S]
        parts = []
        for start in range(0, len(img), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            try:
                feeds = {"img": seen[part], "target": target[part]}
                parts.append(self._session.run(outputs, feeds))
            except Exception as error:  # ONNX Runtime's own classes
                raise EngineError(f"{self.name}: {' '.join(str(error).split())[:200]}") from None
        return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]

    def _find_matrices(self, img: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What resizes the rows and the columns."""
        height, width = img.shape[2:]
        return (
            make_resampling(self._resize, height, self.size),
            make_resampling(self._resize, width, self.size),
        )


def _holds_loss(session: Any) -> bool:
    inputs, outputs = ({t.name for t in of} for of in (session.get_inputs(), session.get_outputs()))
    told = session.get_modelmeta().custom_metadata_map
    return LOSS in told and "stylert.resize" in told and (inputs, outputs) == (INPUTS, OUTPUTS)
