"""The modulated convolution of StyleGAN2 and 3, with its weights as constants.

The modulation is moved from the weights to the activations: y = d * conv(s * x, W), with the
demodulation d from one small matrix product (StyleGAN2, section 2.2, and `lowering`).
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from stylert.export import lowering
from stylert.export.graphs.emitter import SynthesisEmitter

__all__ = ["ModulatedEmitter"]


class ModulatedEmitter(SynthesisEmitter):
    """What synthesis graphs with modulated convolutions emit."""

    def modulation(
        self, styles: ir.Value, weight: np.ndarray, gain: float, channels: int | None = None
    ) -> tuple[ir.Value, np.ndarray, ir.Value]:
        """The factors of the input [N, I], the weight, and the factors of the output [N, O].

        Styles of so many `channels` are brought to a mean square of 1 first, None = they are not.
        In half precision the weight and the styles are brought to at most 1, so that nothing
        overflows inside of the convolution (ADA, appendix); the demodulation takes that back.
        """
        if not self.in_half:
            return styles, weight, self.demodulation(styles, weight, gain, channels)
        g = self.graph
        normalized, scaling = lowering.normalize_weight(weight)
        d = self.demodulation(styles, weight, gain, channels, scaling)
        size = g.op("Abs", styles, name="style_size")
        peak = g.op("ReduceMax", size, name="style_peak", axes=[1], keepdims=1)  # [N, 1]
        peak = g.op("Max", peak, g.constant("smallest", np.array(1e-8)), name="style_norm")
        return (
            g.op("Div", styles, peak, name="normalize"),
            normalized,
            g.op("Mul", d, peak, name="denormalize"),
        )

    def demodulation(
        self,
        styles: ir.Value,
        weight: np.ndarray,
        gain: float,
        channels: int | None,
        scaling: np.ndarray | None = None,
    ) -> ir.Value:
        """The factors [N, O] that bring the modulated weights to norm `gain`, in float32.

        With a scaling [O], those for weights that are multiplied by it. It stays out of the
        matrix, whose entries half precision would not hold.
        """
        g = self.graph
        matrix, epsilon = lowering.fold_demodulation(weight, gain=gain, channels=channels)
        with g.scope("demodulation"):
            square = g.op("Mul", styles, styles, name="square")
            constants = g.weight("matrix", matrix), g.constant("epsilon", epsilon)
            norm = g.op("Sqrt", g.op("Gemm", square, *constants, name="gemm"), name="sqrt")
            if scaling is None:
                return g.op("Reciprocal", norm, name="reciprocal")
            return g.op("Div", g.constant("inverse_scaling", 1 / scaling), norm, name="divide")
