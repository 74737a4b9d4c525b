"""The design of a StyleGAN3, found by its layers' names and proven by its filters.

A state dict does not hold the rates, factors and paddings. The code of StyleGAN3's authors computes
them, and the filters, from few numbers; where these filters are the file's bit for bit, so is the
rest. Nothing is taken that they do not prove.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np

from stylert.export.checkpoints.configs.stylegan3 import (
    MOST_LAYERS,
    MOST_PIXELS,
    StyleGAN3Layer,
)
from stylert.export.checkpoints.configs.stylegan3_design import StyleGAN3Design
from stylert.export.checkpoints.nvlabs.modules import Modules
from stylert.runtime.errors import CheckpointError

__all__ = ["find_design"]

_CRITICAL = (2, 1, 0, 3)  # numbers of critically sampled layers, the usual one first
_UPSAMPLING = (2, 4)  # of the leaky ReLU

Found = tuple[StyleGAN3Design, tuple[StyleGAN3Layer, ...]]


def find_design(modules: Modules, names: list[str], *, num_fp16_res: int) -> Found:
    """The design that makes these layers, and their records.

    Args:
        modules: whose tensors are compared.
        names: of the layers in their order.
        num_fp16_res: layers above so many halvings of the resolution were trained in half.

    Raises:
        CheckpointError: no design that is known here makes these names, shapes and filters.
    """
    wrong = ""
    for design in _list_candidates(modules, names, num_fp16_res):
        layers = _name_layers(design, modules, names)
        difference = _find_difference(design, layers, modules, names)
        if not difference:
            return design, layers
        wrong = wrong or difference
    wrong = wrong or "its layers are too few, too many or too large"
    raise CheckpointError(
        f"not supported: {wrong}, so the design of this StyleGAN3 is not known; "
        "take the .pkl that it came from"
    )


def _list_candidates(
    modules: Modules, names: list[str], num_fp16_res: int
) -> Iterator[StyleGAN3Design]:
    """Designs of this many layers and pixels, the usual one first."""
    if not 3 <= len(names) <= MOST_LAYERS:
        return
    first, last = f"synthesis.{names[0]}", f"synthesis.{names[-1]}"
    first_side, side = (int(name.split("_")[1]) for name in (names[0], names[-1]))
    taps = modules.find_shape(f"{first}.up_filter", 1)[0]
    if not 4 <= side <= MOST_PIXELS:
        return
    for square, critical, upsampling in product((True, False), _CRITICAL, _UPSAMPLING):
        height = 1 if square else 2  # in widths, which the names tell
        if critical > len(names) - 2 or taps % upsampling:
            continue
        design = StyleGAN3Design(
            img_resolution=height * side,
            square=square,
            img_channels=modules.find_shape(f"{last}.bias", 1)[0],
            num_layers=len(names) - 1,
            num_critical=critical,
            filter_size=taps // upsampling,
            lrelu_upsampling=upsampling,
            conv_kernel=modules.find_shape(f"{first}.weight", 4)[-1],
            use_radial_filters=_has_radial(modules),
            num_fp16_res=num_fp16_res,
        )
        margin, odd = divmod(height * first_side - int(design.rates[0]), 2)
        if not odd and margin >= 0:
            yield replace(design, margin_size=margin)


def _has_radial(modules: Modules) -> bool:
    return any(
        name.endswith(".down_filter") and len(tensor.shape) == 2
        for name, tensor in modules.tensors.items()
    )


def _name_layers(
    design: StyleGAN3Design, modules: Modules, names: list[str]
) -> tuple[StyleGAN3Layer, ...]:
    """The design's layers with the channels of the file: these are free."""
    layers = []
    for name, layer in zip(names, design.make_layers(), strict=True):
        wide_out, wide_in, *_ = modules.find_shape(f"synthesis.{name}.weight", 4)
        new = f"{layer.name.rpartition('_')[0]}_{wide_out}"
        layers.append(replace(layer, name=new, in_channels=wide_in, out_channels=wide_out))
    return tuple(layers)


def _find_difference(
    design: StyleGAN3Design,
    layers: tuple[StyleGAN3Layer, ...],
    modules: Modules,
    names: list[str],
) -> str:
    """How the file differs from a design, '' = it does not."""
    for name, layer in zip(names, layers, strict=True):
        if name != layer.name:
            return f"the layer {name} would be {layer.name} in the usual design"
    filters = design.make_filters(layers)
    there = {name for name in modules.tensors if name.endswith(("up_filter", "down_filter"))}
    if odd := sorted(there ^ filters.keys()):
        return f"{odd[0]} is {'not in' if odd[0] in there else 'only in'} the usual design"
    for name, designed in filters.items():
        if not _is_stored_as(modules.read(name), designed):
            return f"{name} is not that of the usual design"
    return ""


def _is_stored_as(stored: np.ndarray, designed: np.ndarray) -> bool:
    """Whether a filter is the designed one, or this as float16 or bfloat16, bit for bit."""
    bits = designed.view(np.uint32)
    bfloat = ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32)
    forms = (designed, designed.astype(np.float16).astype(np.float32), bfloat.view(np.float32))
    return any(np.array_equal(stored, form) for form in forms)
