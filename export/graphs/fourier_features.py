"""The input of StyleGAN3 as ONNX nodes: Fourier features that w and the user may move (section 3).

All of it is float32, also where a graph has half precision: an angle that is off moves the picture.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from stylert.export import lowering
from stylert.export.checkpoints import StyleGAN3Config
from stylert.export.graphs.emitter import SynthesisEmitter

__all__ = ["emit_fourier_features"]


def emit_fourier_features(
    emitter: SynthesisEmitter, config: StyleGAN3Config, *, exact: bool = False
) -> ir.Value:
    """Plane waves over the image and its margin [N, C, H, W], mixed as layer L0 takes them.

    The graph gets the input `transform`.

    Args:
        emitter: of the graph.
        config: of the network.
        exact: take a polynomial for the sine, see `_emit_sine`.
    """
    g = emitter.graph
    waves = _emit_waves(emitter)  # [N, C, 3]
    x, y, shift = (
        g.op("Gather", waves, g.constant(f"{name}_at", np.array([[i]])), name=name, axis=2)
        for i, name in enumerate(("wave_x", "wave_y", "wave_shift"))
    )  # [N, C, 1, 1] each
    amplitudes = _emit_amplitudes(emitter, config, x, y)
    radians = 1.0 if exact else 2 * np.pi  # of what angles are counted in
    rows, columns = (
        radians * (np.arange(side) + 0.5 - side / 2) / config.input_rate
        for side in config.input_shape
    )
    along_x = g.op("Mul", x, g.constant("columns", columns), name="along_x")
    along_y = g.op("Mul", y, g.constant("rows", rows[:, None]), name="along_y")
    phases = radians * emitter.tensors["synthesis.input.phases"].astype(np.float64)
    shift = g.op("Mul", shift, g.constant("radians", np.array(radians)), name="shift")
    shift = g.op("Add", shift, g.constant("phases", phases[:, None, None]), name="phase")
    angles = g.op("Add", along_x, g.op("Add", along_y, shift, name="rows_angles"), name="angles")
    sine = _emit_sine(emitter, angles) if exact else g.op("Sin", angles, name="sin")
    features = g.op("Mul", sine, amplitudes, name="features")
    mix = emitter.tensors["synthesis.input.weight"].astype(np.float64)
    mix /= math.sqrt(config.input_channels)
    weight = g.constant("mix_weight", mix[:, :, None, None])
    return g.op("Conv", features, weight, name="mix", kernel_shape=[1, 1])


def _emit_sine(emitter: SynthesisEmitter, turns: ir.Value) -> ir.Value:
    """The sine of angles in turns, of sums and products alone.

    Vulkan lets a GPU's own sine be off by 5e-4, and SwiftShader's is by 2e-4, which is 5e-5 in the
    pictures. With r the turns from -1/2 to 1/2, it is r (1/4 - r^2) times a polynomial of r^2: so
    its zeros are exact.
    """
    g = emitter.graph
    half = g.constant("half", np.array(0.5))
    whole = g.op("Floor", g.op("Add", turns, half, name="half_on"), name="whole")
    r = g.op("Sub", turns, whole, name="rest")
    square = g.op("Mul", r, r, name="rest_square")
    *others, highest = _fit_sine()
    total = g.constant(f"sine{len(others)}", np.array(highest))
    for i, factor in reversed(list(enumerate(others))):
        total = g.op("Mul", total, square, name=f"sine_times{i}")
        total = g.op("Add", total, g.constant(f"sine{i}", np.array(factor)), name=f"sine_sum{i}")
    to_zero = g.op("Sub", g.constant("quarter", np.array(0.25)), square, name="to_zero")
    return g.op("Mul", total, g.op("Mul", r, to_zero, name="zeros"), name="sine")


def _fit_sine() -> np.ndarray:
    """The factors of sin(2 pi r) / (r (1/4 - r^2)) in powers of r^2, to 1e-10 for |r| <= 1/2."""
    r = (np.cos(np.pi * (np.arange(64) + 0.5) / 64) + 1) / 4  # none of them is 0 or 1/2
    quotients = np.sin(2 * np.pi * r) / (r * (0.25 - r**2))
    return np.polynomial.Polynomial.fit(r**2, quotients, 6, domain=[-1, 1]).coef


def _emit_amplitudes(
    emitter: SynthesisEmitter, config: StyleGAN3Config, x: ir.Value, y: ir.Value
) -> ir.Value:
    """1 up to the bandwidth, and 0 from where the pixels cannot hold the wave."""
    g = emitter.graph
    slope = 1 / (config.input_rate / 2 - config.input_bandwidth)
    squares = g.op("Mul", x, x, name="square_x"), g.op("Mul", y, y, name="square_y")
    frequencies = g.op("Sqrt", g.op("Add", *squares, name="squares"), name="frequencies")
    fade = g.op("Mul", frequencies, g.constant("slope", np.array(-slope)), name="fade")
    at_zero = g.constant("at_zero", np.array(1 + config.input_bandwidth * slope))
    bounds = g.constant("none", np.array(0.0)), g.constant("full", np.array(1.0))
    return g.op("Clip", g.op("Add", fade, at_zero, name="line"), *bounds, name="amplitudes")


def _emit_waves(emitter: SynthesisEmitter) -> ir.Value:
    """The waves [N, C, 3] in the picture's coordinates: x, y in cycles per unit, and the shift.

    The coordinates go through the user's transform, the checkpoint's own, and that of w: a
    translation by (-x, -y), then a rotation.
    """
    g = emitter.graph
    pose = _emit_pose(emitter)
    freqs = emitter.tensors["synthesis.input.freqs"].astype(np.float64).T  # [2, C]
    rotations = np.zeros((2, 4, freqs.shape[1]))  # a rotated wave's x and y, from the pose
    rotations[0, :2] = freqs
    rotations[1, :2] = freqs[1], -freqs[0]
    rotated, shifts = [], []
    for i, (name, rotation) in enumerate(zip("xy", rotations, strict=True)):
        wave = g.op("MatMul", pose, g.constant(f"rotate_{name}", rotation), name=f"rotated_{name}")
        place = g.op("Gather", pose, g.constant(f"{name}_at", np.array([2 + i])), name=name, axis=1)
        shifts.append(g.op("Mul", wave, place, name=f"shift_{name}"))
        rotated.append(wave)  # [N, C]
    rotated.append(g.op("Neg", g.op("Add", *shifts, name="shifts"), name="shift_back"))
    last = g.constant("last_axis", np.array([2]))
    columns = [g.op("Unsqueeze", x, last, name=f"wave{i}") for i, x in enumerate(rotated)]
    transform = g.input("transform", ["N", 3, 3])
    own = emitter.tensors["synthesis.input.transform"]
    if not np.array_equal(own, np.eye(3)):
        transform = g.op("MatMul", g.constant("own_transform", own), transform, name="transforms")
    return g.op("MatMul", g.op("Concat", *columns, name="posed", axis=2), transform, name="waves")


def _emit_pose(emitter: SynthesisEmitter) -> ir.Value:
    """Cosine and sine of the angle, and the place in x and y, that w gives: [N, 4]."""
    g = emitter.graph
    matrix, bias = lowering.fold_dense(
        emitter.tensors["synthesis.input.affine.weight"],
        emitter.tensors["synthesis.input.affine.bias"],
    )
    w = g.op("Gather", emitter.ws, g.shared("ws_index_0", np.array(0)), name="w", axis=1)
    affine = g.constant("affine_weight", matrix), g.constant("affine_bias", bias)
    pose = g.op("Gemm", w, *affine, name="affine")  # times any length
    square = g.op("Mul", pose, pose, name="pose_square")
    of_angle = g.constant("of_angle", np.array([[1.0], [1.0], [0.0], [0.0]]))
    length = g.op("Sqrt", g.op("MatMul", square, of_angle, name="length_square"), name="length")
    return g.op("Div", pose, length, name="pose")
