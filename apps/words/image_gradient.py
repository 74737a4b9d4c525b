"""The gradient of an image tower, from its ONNX file: no torch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stylert.apps.words.towers import Tower
from stylert.runtime.files.network_files import open_model
from stylert.runtime.packages import need

__all__ = ["ImageGradient", "open_gradient"]

# From what the tower saw [N, 3, S, S] and the gradient of its points [N, d] to that of what it saw.
ImageGradient = Callable[[np.ndarray, np.ndarray], np.ndarray]


def open_gradient(tower: Tower) -> ImageGradient:
    """Differentiate a tower.

    Args:
        tower: the image tower.

    Raises:
        InvalidInput: an operator without adjoint, or sizes that are not fixed.
        MissingExtra: onnx is not installed.
    """
    need("onnx", extra="gradient")
    from stylert.export.adjoint.network_gradient import build_network_gradient

    data = build_network_gradient(tower.file, tower.input, tower.output)
    threads = tower.session.get_session_options().intra_op_num_threads
    session = open_model(data, threads=threads)

    def find(seen: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        feeds = {tower.input: seen, "grad_points": wanted}
        return np.asarray(session.run(["grad_pictures"], feeds)[0])

    return find
