"""The modulated convolution of StyleGAN2 and 3, with its weights as constants.

The modulation is moved from the weights to the activations: y = d * conv(s * x, W), with the
demodulation d from one small matrix product (StyleGAN2, section 2.2, and `lowering`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from stylert.export import lowering
from stylert.export.graphs.emitter import SynthesisEmitter
from stylert.export.graphs.styles import StyledLayer

__all__ = ["ModulatedEmitter"]


class ModulatedEmitter(SynthesisEmitter):
    """What synthesis graphs with modulated convolutions emit."""

    def styled(self, layer: str, index: int, *, gain: float = 1.0, **options: Any) -> StyledLayer:
        """A layer whose styles are an affine function of a row of ws.

        Args:
            layer: its name.
            index: of the row.
            gain: of the styles.
            **options: of `StyledLayer`, about its demodulation.
        """
        name = f"synthesis.{layer}.affine"
        affine = lowering.fold_dense(
            self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"], gain=gain
        )
        half = layer.split(".")[0] in self.half_blocks
        return StyledLayer(layer, index, *affine, half=half, gain=gain, **options)

    def modulation(self, layer: str, weight: np.ndarray) -> tuple[ir.Value, np.ndarray, ir.Value]:
        """The factors of the input [N, I], the weight, and the factors of the output [N, O].

        In half precision the weight and the styles are brought to at most 1, so that nothing
        overflows inside of the convolution (ADA, appendix); the demodulation takes that back.
        """
        styles, factors = self.styles.find(layer), self.styles.find_factors(layer)
        if not self.in_half:
            return styles, weight, factors
        g, peak = self.graph, self.styles.find_peak(layer)
        return (
            g.op("Div", styles, peak, name="normalize"),
            lowering.normalize_weight(weight)[0],
            g.op("Mul", factors, peak, name="denormalize"),
        )
