"""A StyleGAN 1 of genforce, as the variables of the TensorFlow network that it follows.

    mapping.dense{i}, mapping.label_weight        mapping/Dense{i}, mapping/LabelConcat/weight
    truncation.w_avg                              dlatent_avg
    synthesis.layer{n}                            4x4/Const, 4x4/Conv, RxR/Conv0_up, RxR/Conv1
      .const, .weight, .bias                        const, weight, bias
      .style.{weight, bias}                         StyleMod/{weight, bias}
      .apply_noise.weight, .apply_noise.noise       Noise/weight, noise{n}
    synthesis.output{k}, synthesis.lod            ToRGB_lod{last k - k}, lod

PyTorch stores the outputs of a layer before its inputs: [out, in], and [out, in, kh, kw].
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from stylert.export.checkpoints.checkpoint import Checkpoint, Source
from stylert.export.checkpoints.nvlabs.modules import Modules
from stylert.export.checkpoints.safe_pickle.storages import Tensor
from stylert.export.checkpoints.tensorflow.networks import TensorFlowGenerator
from stylert.export.checkpoints.tensorflow.pickles import read_generator
from stylert.export.checkpoints.validation import check_size
from stylert.runtime.errors import CheckpointError

__all__ = ["read_genforce_stylegan1"]

_BLUR = np.outer([1, 2, 1], [1, 2, 1]) / 16
_LAYER = re.compile(r"synthesis\.(layer|output)(\d{1,2})\.(.+)")
_DENSE = re.compile(r"mapping\.dense(\d{1,3})\.(weight|bias)")
_NAMES = {
    "mapping.label_weight": "mapping/LabelConcat/weight",
    "truncation.w_avg": "dlatent_avg",
    "synthesis.lod": "synthesis/lod",
}


def read_genforce_stylegan1(
    tensors: dict[str, Tensor], mapping_lr: float | None, source: Source
) -> Checkpoint:
    """Read the tensors of a generator.

    Args:
        tensors: by their names there.
        mapping_lr: the multiplier of the mapping network's learning rate, None = 0.01.
        source: the file, whose size bounds what its tensors may claim.

    Raises:
        CheckpointError: a tensor is missing, is not known, or has another shape.
    """
    modules = Modules(tensors=tensors)
    check_size(modules.num_elements, source)
    outputs = [int(m[2]) for m in map(_LAYER.fullmatch, tensors) if m and m[1] == "output"]
    variables: dict[str, np.ndarray] = {}
    for name in tensors:
        array = modules.read(name)
        if name.endswith(".blur.kernel"):  # [C, 1, 3, 3]
            if array.shape[1:] != (1, 3, 3) or not np.allclose(array, _BLUR):
                raise CheckpointError(f"not supported: {name} is another filter than [1, 2, 1]")
            continue
        variable = _name_variable(name, last_output=max(outputs, default=0))
        variables[variable] = _turn_layout(variable, array)
    lr = 0.01 if mapping_lr is None else mapping_lr
    generator = TensorFlowGenerator(
        name=source.network,
        version=3,
        functions=("G_style", "G_mapping", "G_synthesis"),
        arguments={"mapping_lrmul": lr},
        variables=variables,
    )
    checkpoint = read_generator(generator, source)
    note = f"the learning rate of the mapping network is not told, and is taken to be {lr:g}"
    return replace(checkpoint, notes=(note, *checkpoint.notes))


def _name_variable(name: str, *, last_output: int) -> str:
    """What TensorFlow calls a tensor; one that is not known keeps its name."""
    if match := _DENSE.fullmatch(name):
        return f"mapping/Dense{match[1]}/{match[2]}"
    if (match := _LAYER.fullmatch(name)) is None:
        return _NAMES.get(name, name)
    number, leaf = int(match[2]), match[3]
    if match[1] == "output":
        return f"synthesis/ToRGB_lod{last_output - number}/{leaf}"
    if leaf == "apply_noise.noise":
        return f"synthesis/noise{number}"
    leaf = leaf.replace("style.", "StyleMod/").replace("apply_noise.", "Noise/")
    side, layer = 4 << number // 2, ("Conv0_up", "Conv1")[number % 2]
    if side == 4:
        layer = ("Const", "Conv")[number % 2]
    return f"synthesis/{side}x{side}/{layer}/{leaf}"


def _turn_layout(variable: str, array: np.ndarray) -> np.ndarray:
    """The layout of TensorFlow: inputs before outputs."""
    if not variable.endswith("/weight") or variable.endswith("/LabelConcat/weight"):
        return array
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T
