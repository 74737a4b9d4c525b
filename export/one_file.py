"""A whole generator as one ONNX file: z (and labels) in, pictures out, as evaluation tools take it.

torch-fidelity and others load a generator as one graph from z [N, z_dim] (and, of a conditional
one, labels [N] of int64) to pictures [N, C, H, W] of uint8. So truncation and noise are constants.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.compose
from onnx import ModelProto, TensorProto, helper, numpy_helper

from stylert.runtime.bundle import Bundle
from stylert.runtime.control.neutral_inputs import make_neutral_inputs
from stylert.runtime.errors import InvalidInput
from stylert.runtime.files.publishing import publish_bytes
from stylert.runtime.latents import make_psi

__all__ = ["build_one_file", "check_constants", "write_one_file"]

NOISES = ("const", "none")


def write_one_file(
    bundle: str | Path,
    out: str | Path,
    *,
    truncation_psi: float | None = None,
    noise_mode: str = "const",
    force: bool = False,
) -> None:
    """Write the float32 graphs of a bundle as one file: all of it, or nothing.

    Args:
        bundle: the directory.
        out: the .onnx file to make.
        truncation_psi: of all pictures, None = the network's own default.
        noise_mode: 'const', the checkpoint's own noise, or 'none'.
        force: replace a file that is there.

    Raises:
        BundleError: the bundle is damaged.
        InvalidInput: a value out of range, or a file that is there.
        OSError: the disk is full, or the folder cannot be written.
    """
    opened, target = Bundle.open(bundle), Path(out)
    if target.suffix != ".onnx":
        raise InvalidInput(f"out: got {target.name}, expected the name of an .onnx file.")
    if target.exists() and not force:
        raise InvalidInput(f"{target} exists. Pass force=True to replace it.")
    model = build_one_file(opened, truncation_psi=truncation_psi, noise_mode=noise_mode)
    publish_bytes(target, model.SerializeToString(), overwrite=force)


def check_constants(*, truncation_psi: float | None, noise_mode: str) -> None:
    """Refuse constants that no file can have; see `write_one_file`.

    Raises:
        InvalidInput: a value out of range.
    """
    if noise_mode not in NOISES:
        raise InvalidInput(f"noise_mode: got {noise_mode!r}, expected {' or '.join(NOISES)}.")
    if truncation_psi is not None and not np.isfinite(truncation_psi):
        raise InvalidInput(f"truncation_psi: got {truncation_psi}, expected a number.")


def build_one_file(
    bundle: Bundle, *, truncation_psi: float | None = None, noise_mode: str = "const"
) -> ModelProto:
    """Join mapping and synthesis, with constants for all that is not z or labels."""
    check_constants(truncation_psi=truncation_psi, noise_mode=noise_mode)
    spec = bundle.spec
    psi = spec.truncation_psi if truncation_psi is None else truncation_psi
    cutoff = spec.truncation_cutoff if truncation_psi is None else None
    psis = make_psi(psi, cutoff, batch=1, num_ws=spec.num_ws)
    mapping, synthesis = (onnx.load(str(bundle.file(graph))) for graph in ("mapping", "synthesis"))
    model = onnx.compose.merge_models(mapping, synthesis, io_map=[("ws", "ws")], outputs=["image"])
    neutral = make_neutral_inputs(bundle.graphs["synthesis"].inputs)
    constants = {"truncation_psi": psis, **neutral}
    for name, noise in bundle.read_noise().items():
        constants[name] = noise if noise_mode == "const" else np.zeros_like(noise)
    graph = model.graph
    kept = [given for given in graph.input if given.name not in constants]
    fixed = [given.name for given in graph.input if given.name in constants]
    graph.initializer.extend(numpy_helper.from_array(constants[name], name) for name in fixed)
    del graph.input[:]
    graph.input.extend(given for given in kept if given.name != "c")
    if spec.c_dim:
        _take_labels(model, spec.c_dim)
    nhwc = next(node for node in graph.node if "image" in node.output)
    nhwc.output[:] = ["image/nhwc"]
    graph.node.append(helper.make_node("Transpose", ["image/nhwc"], ["image"], perm=[0, 3, 1, 2]))
    shape: list[int | str | None] = ["N", spec.img_channels, spec.img_height, spec.img_width]
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("image", TensorProto.UINT8, shape))
    del graph.value_info[:]
    graph.name = "generator"
    onnx.checker.check_model(model, full_check=True)
    return model


def _take_labels(model: ModelProto, classes: int) -> None:
    """Labels [N] of int64 instead of one-hot rows c [N, c_dim].

    OneHot makes a row of zeros, which is no class, of a label that is none. Gather refuses it.
    """
    graph = model.graph
    graph.input.append(helper.make_tensor_value_info("labels", TensorProto.INT64, ["N"]))
    depth, values = np.array(classes, np.int64), np.array([0, 1], np.float32)
    all_classes = np.arange(classes, dtype=np.int64)
    graph.initializer.append(numpy_helper.from_array(all_classes, "labels/all"))
    graph.initializer.append(numpy_helper.from_array(depth, "labels/depth"))
    graph.initializer.append(numpy_helper.from_array(values, "labels/values"))
    names = ["labels/known", "labels/depth", "labels/values"]
    graph.node.insert(0, helper.make_node("OneHot", names, ["c"], name="labels/one_hot"))
    known = helper.make_node("Gather", ["labels/all", "labels"], names[:1], name="labels/known")
    graph.node.insert(0, known)
