"""What INT8 costs on a processor without wide integer products, measured when a bundle is opened.

Such a processor adds pairs of products in 16 bits, which overflow: of the demo network, the worst
picture was at 27 dB in place of 33. Smaller weights in another form keep that from happening, and
cost a part of the quality that the export has measured, so it is measured here again.
"""

from __future__ import annotations

import math
import warnings

import numpy as np

from stylert.runtime.backends.openvino.compiled_graph import CompiledGraph
from stylert.runtime.bundle import Bundle
from stylert.runtime.control.neutral_inputs import make_neutral_inputs
from stylert.runtime.errors import StylertWarning

__all__ = ["warn_of_small_weights"]

PSI = 0.7
PICTURES = 2


def warn_of_small_weights(
    bundle: Bundle, mapping: CompiledGraph, int8: CompiledGraph, exact: CompiledGraph
) -> None:
    """Draw pictures in INT8 and in float32, and warn of how far they are apart.

    Args:
        bundle: opened.
        mapping: its graph, and so on.
        int8: with small weights.
        exact: in float32.
    """
    spec = bundle.spec
    feeds = {**bundle.read_noise(), **make_neutral_inputs(bundle.graphs["synthesis"].inputs)}
    feeds["truncation_psi"] = np.full((1, spec.num_ws), PSI, np.float32)
    errors = []
    for seed in range(PICTURES):
        z = np.random.RandomState(seed).randn(1, spec.z_dim).astype(np.float32)
        classes = np.eye(max(spec.c_dim, 1), dtype=np.float32)[[seed % max(spec.c_dim, 1)]]
        (ws,) = mapping.run({**feeds, "z": z, "c": classes}, 1, ["ws"])
        pictures = [
            np.clip(graph.run({**feeds, "ws": ws}, 1, ["img"])[0], -1, 1) for graph in (exact, int8)
        ]
        errors.append(np.square(pictures[0] - pictures[1]).mean())
    error = float(np.mean(errors))
    db = 10 * math.log10(4 / error) if error else math.inf
    warnings.warn(
        f"This processor has no VNNI, so INT8 weights are at most 63: pictures are {db:.1f} dB "
        "(PSNR) from float32 here. See docs/int8.md.",
        StylertWarning,
        stacklevel=6,  # of who opens a generator
    )
