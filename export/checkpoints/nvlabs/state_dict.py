"""The tensors of a state dict with NVlabs' names, as the modules that a pickle of them would hold.

A state dict holds the tensors only. Most of what a pickle says beside them follows from their names
and shapes; what does not is assumed, or said by the user, and told in a note.
"""

from __future__ import annotations

import math
import re

import numpy as np

from stylert.export.checkpoints.assumptions import Assumptions
from stylert.export.checkpoints.nvlabs.design_search import find_design
from stylert.export.checkpoints.nvlabs.modules import Modules
from stylert.export.checkpoints.safe_pickle.allow_list import PersistentObject
from stylert.export.checkpoints.safe_pickle.arrays import PickledArray
from stylert.export.checkpoints.safe_pickle.quoting import quote_some
from stylert.export.checkpoints.safe_pickle.storages import Tensor
from stylert.runtime.errors import CheckpointError

__all__ = ["assume_modules"]

_CLAMP = 256.0  # of both repositories, where they train in half precision
_HALF_RESOLUTIONS = 4  # likewise
_LR = 0.01
_OUTPUT_SCALE = 0.25  # of StyleGAN3


def assume_modules(tensors: dict[str, Tensor], assume: Assumptions) -> tuple[Modules, str]:
    """The modules with all their attributes, and what was assumed, as a note.

    Args:
        tensors: those below 'mapping.' and 'synthesis.'.
        assume: what the user said.

    Raises:
        CheckpointError: a StyleGAN3 has another design than its authors' code makes, or the user
            said what its tensors tell.
    """
    modules = Modules(tensors=tensors)
    for path in ("", *_list_paths(tensors)):
        modules.objects[path] = PersistentObject("Generator", {"_buffers": {}})
    clamp = _CLAMP if assume.conv_clamp is None else assume.conv_clamp
    lr = assume.mapping_lr or _LR
    half = _HALF_RESOLUTIONS if math.isfinite(clamp) else 0
    half = half if assume.num_fp16_res is None else assume.num_fp16_res
    bound = clamp if math.isfinite(clamp) else None
    activation = assume.activation or "lrelu"
    for path, module in modules.objects.items():
        if path.startswith("mapping.fc"):
            module.state.update(activation=activation, bias_gain=lr)
        elif path.endswith((".affine", ".embed", ".skip")):
            module.state.update(activation="linear", bias_gain=1)
    if "mapping.embed.weight" in tensors and "mapping.embed.bias" not in tensors:
        _attach_table(modules)
    if "synthesis.input" in modules.objects:
        assume.refuse_others("conv_clamp", "mapping_lr", "num_fp16_res")
        _attach_stylegan3(modules, conv_clamp=bound, num_fp16_res=half)
        told = f"output scale {_OUTPUT_SCALE:g}"
    else:
        _attach_stylegan2(modules, activation=activation, conv_clamp=bound, num_fp16_res=half)
        told = f"activation {activation}"
    note = (
        "a state dict does not tell these, which are taken to be: "
        f"{'no clamp' if bound is None else f'clamp {bound:g}'}, learning rate {lr:g} of the "
        f"mapping network, {half} resolutions in half precision, {told}"
    )
    return modules, note


def _list_paths(tensors: dict[str, Tensor]) -> list[str]:
    """The paths of all modules, the outer ones first."""
    paths: dict[str, None] = {}
    for name in tensors:
        parts = name.split(".")
        paths |= {".".join(parts[:i]): None for i in range(1, len(parts))}
    return sorted(paths, key=lambda path: path.count("."))


def _attach_table(modules: Modules) -> None:
    """StyleGAN-XL's table of classes, and the layer behind it, where classes are used."""
    modules.objects["mapping.embed"] = PersistentObject("Embedding", {"max_norm": None})
    if behind := modules.objects.get("mapping.embed_proj"):
        behind.state.update(activation="lrelu", bias_gain=1)


def _attach_stylegan2(
    modules: Modules, *, activation: str, conv_clamp: float | None, num_fp16_res: int
) -> None:
    names = [name for name in modules.list_children("synthesis") if re.fullmatch(r"b\d{1,6}", name)]
    blocks = [f"synthesis.{name}" for name in sorted(names, key=lambda name: int(name[1:]))]
    architecture = _tell_architecture(modules, blocks)
    for number, block in enumerate(reversed(blocks), 1):  # b4 is never in half
        half = number <= num_fp16_res and number < len(blocks)
        modules.objects[block].state.update(architecture=architecture, use_fp16=half)
    for path, module in modules.objects.items():
        name = path.rpartition(".")[2]
        if name in ("conv0", "conv1", "skip", "torgb"):
            module.state.update(conv_clamp=conv_clamp, up=1 if name == "conv1" else 2)
        if name in ("conv0", "conv1"):
            noise = f"{path}.noise_strength" in modules.tensors
            module.state.update(activation=activation, use_noise=noise)


def _tell_architecture(modules: Modules, blocks: list[str]) -> str:
    if any(f"{block}.skip" in modules.objects for block in blocks):
        return "resnet"
    all_make_rgb = all(f"{block}.torgb" in modules.objects for block in blocks)
    return "skip" if all_make_rgb else "orig"


def _attach_stylegan3(modules: Modules, *, conv_clamp: float | None, num_fp16_res: int) -> None:
    names = [name for name in modules.list_children("synthesis") if name != "input"]
    if not all(re.fullmatch(r"L\d{1,2}_\d{1,5}_\d{1,5}", name) for name in names):
        raise CheckpointError(
            f"not supported: synthesis has the modules {quote_some(names)}, expected input and "
            "layers such as L0_36_512"
        )
    names.sort(key=lambda name: int(name[1:].partition("_")[0]))
    design, layers = find_design(modules, names, num_fp16_res=num_fp16_res)
    synthesis = modules.objects["synthesis"].state
    synthesis.update(layer_names=names, output_scale=_OUTPUT_SCALE)
    modules.objects["synthesis.input"].state.update(
        size=_as_sides(layers[0].in_shape),
        sampling_rate=int(design.rates[0]),
        bandwidth=float(design.cutoffs[0]),
    )
    for layer in layers:
        modules.objects[f"synthesis.{layer.name}"].state.update(
            conv_clamp=conv_clamp,
            conv_kernel=layer.kernel,
            in_size=_as_sides(layer.in_shape),
            out_size=_as_sides(layer.out_shape),
            up_factor=layer.up,
            down_factor=layer.down,
            up_taps=layer.up_taps or 1,
            down_taps=layer.down_taps or 1,
            padding=list(layer.padding),
            use_fp16=layer.half,
            is_torgb=layer.is_torgb,
        )


def _as_sides(shape: tuple[int, int]) -> PickledArray:
    """Width and height, as a pickle holds them."""
    sides = PickledArray()
    sides.array = np.array(shape[::-1])
    return sides
