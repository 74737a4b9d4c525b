"""Wrong networks with one fault in one layer each, and how far beyond its bounds they are.

A mutation lists the layers that have what it damages, and damages one of them for a while. Right
and wrong are both drawn by PyTorch in float32, in the scenes of the proof, and are judged by its
gates. So a table of hundreds of mutants costs seconds. That the proof judges graphs in the same
way is shown with some of them in `test_mutations.py`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from right_network import Case, RightNetwork
from torch import Tensor, nn

from stylert.export.models import filtered_lrelu as layers3
from stylert.export.models import lucidrains, stylegan1, stylegan2, stylegan3
from stylert.export.models.layers import modulated_conv2d, upfirdn2d, upsample2d
from stylert.export.parity import reference as parity_reference
from stylert.export.parity.scenes import Psi, make_labels, make_psis
from stylert.runtime import images
from stylert.runtime.proof.parity import MAX_SHARE_OFF, compare_each, measure_excess

Damage = AbstractContextManager[Any]


def _as_it_is(network: RightNetwork, layer: str) -> Damage:
    return nullcontext()


@dataclass(frozen=True)
class Mutation:
    """A fault that any of several layers can have."""

    name: str
    find: Callable[[RightNetwork], Sequence[str]]  # the layers that have what it damages
    damage: Callable[[RightNetwork, str], Damage]  # holds while it is entered
    bound: float = 3.0  # how many times beyond the bounds of the proof every layer must be
    output: str = "img"
    prepare: Callable[[RightNetwork, str], Damage] = _as_it_is  # of the right network, too

    def excess(
        self, network: RightNetwork, layer: str, *, ws: str = "", enough: float = math.inf
    ) -> float:
        """How many times beyond its bounds the proof finds this layer's mutant.

        The worst picture counts, as one is enough to fail.

        Args:
            network: the right one.
            layer: one of `find`.
            ws: 'one' or 'own': only in scenes with such ws.
            enough: stop at the first picture that reaches it.
        """
        worst = 0.0
        with self.prepare(network, layer):
            for case in network.cases[self.output]:
                if ws in ("", case[0].ws) and worst < enough:
                    worst = max(worst, self._excess_of(network, layer, case))
        return worst

    def _excess_of(self, network: RightNetwork, layer: str, case: Case) -> float:
        right = network.right(self.output, case)
        with network.unchanged_before(layer, case):
            if self.prepare is not _as_it_is:
                right = network.draw(self.output, case)
            with self.damage(network, layer):
                wrong = network.draw(self.output, case)
        (difference,) = compare_each(right[None], wrong[None])
        if self.output == "image":  # as `check_bytes` does
            return max(difference.max_abs, float(np.mean(right != wrong)) / MAX_SHARE_OFF)
        # What `prepare` does changes nothing of how float32 rounds.
        return measure_excess(difference, "fp32", network.errors[self.output])


# ---- How a fault is put in ---------------------------------------------------------------------


@contextmanager
def changed(tensor: Tensor, value: Tensor) -> Iterator[None]:
    """A parameter or buffer with other numbers; those of the checkpoint stay as they are."""
    before = tensor.data
    tensor.data = value.to(before.dtype)
    try:
        yield
    finally:
        tensor.data = before


@contextmanager
def both(*damages: Damage) -> Iterator[None]:
    """Several at once."""
    with ExitStack() as stack:
        for damage in damages:
            stack.enter_context(damage)
        yield


def within(layer: nn.Module, module: Any, function: str, wrong: Callable[..., Any]) -> Damage:
    """While a layer computes, a function of its module is another."""
    forward = layer.forward

    def damaged(*arguments: Any, **options: Any) -> Any:
        with mock.patch.object(module, function, wrong):
            return forward(*arguments, **options)

    return mock.patch.object(layer, "forward", damaged)


# ---- Weights, biases, noise --------------------------------------------------------------------


def find_3x3(network: RightNetwork) -> list[str]:
    """Flipped 1x1 weights are the same."""
    weights = {n: t for n, t in network.model.synthesis.named_parameters() if n.endswith("weight")}
    return [n.removesuffix(".weight") for n, t in weights.items() if t.shape[2:] == (3, 3)]


def flip_weight(network: RightNetwork, layer: str) -> Damage:
    weight = network.layer(layer).weight
    return changed(weight, weight.flip([2, 3]))


def find_biases(network: RightNetwork, *, styles: bool = False) -> list[str]:
    """Of the pictures' convolutions, or of the dense layers that give them their styles."""
    biases = {n: t for n, t in network.model.synthesis.named_parameters() if n.endswith(".bias")}
    found = [n.removesuffix(".bias") for n, t in biases.items() if t.any()]
    return [n for n in found if n.endswith("affine") == styles]


def find_style_biases(network: RightNetwork) -> list[str]:
    return find_biases(network, styles=True)


def find_mapping_biases(network: RightNetwork) -> list[str]:
    layers = network.model.mapping.named_children()
    return [name for name, layer in layers if hasattr(layer, "bias") and layer.bias.any()]


def scale_bias(
    network: RightNetwork, layer: str, *, part: str = "synthesis", factor: float
) -> Damage:
    bias = getattr(network.model, part).get_submodule(layer).bias
    return changed(bias, bias * factor)


def find_classes(network: RightNetwork) -> list[str]:
    """Those that are looked up for the styles of the proof."""
    if not network.config.class_features:
        return []
    labels = make_labels([seed for _, seed in network.cases["ws"]], network.config)
    assert labels is not None
    return [f"class {row}" for row in np.unique(labels.argmax(axis=1))]


def take_next_row(network: RightNetwork, layer: str, *, table: str) -> Damage:
    """A class has what belongs to the next one."""
    mapping = network.model.mapping
    rows = mapping.embed.weight if table == "embed.weight" else mapping.w_avg
    wrong, row = rows.clone(), int(layer.split()[1])
    wrong[row] = rows[(row + 1) % len(rows)]
    return changed(rows, wrong)


def find_noise(network: RightNetwork) -> list[str]:
    """A strength of 0 hides its noise."""
    layers = network.layers(stylegan1.Layer, stylegan2.StyledConv, lucidrains.StyledConv)
    return [name for name, layer in layers.items() if layer.noise_strength.any()]


def silence(network: RightNetwork, layer: str) -> Damage:
    strength = network.layer(layer).noise_strength
    return changed(strength, strength * 0)


def find_equal_noises(network: RightNetwork) -> list[str]:
    """The two layers of a block have noises of one size; of a lucidrains network, the same one."""
    if network.family == "lucidrains":
        return []
    noisy = find_noise(network)
    blocks = dict.fromkeys(name.partition(".")[0] for name in noisy)
    return [b for b in blocks if f"{b}.conv0" in noisy and f"{b}.conv1" in noisy]


def exchange_noises(network: RightNetwork, block: str) -> Damage:
    first, second = (network.layer(f"{block}.conv{i}") for i in (0, 1))
    return both(
        changed(first.noise_const, second.noise_const),
        changed(second.noise_const, first.noise_const),
        mock.patch.object(first, "name", second.name),  # by which it gets its seeded noise
        mock.patch.object(second, "name", first.name),
    )


# ---- Upsampling --------------------------------------------------------------------------------


def find_noise_maps(network: RightNetwork) -> list[str]:
    """What a layer can make of the one map of a lucidrains network."""
    return ["not turned", "another corner"] if network.family == "lucidrains" else []


def cut_wrongly(network: RightNetwork, layer: str) -> Damage:
    def wrong(field: Tensor, side: int) -> Tensor:
        if layer == "not turned":
            return field[:, :, :side, :side]
        return field[:, :, -side:, -side:].transpose(2, 3)

    return mock.patch.object(lucidrains, "cut_noise", wrong)


def find_borders(network: RightNetwork) -> list[str]:
    """The image's blur is mirrored at its borders."""
    if network.family != "lucidrains":
        return []
    return list(network.layers(lucidrains.Enlarge))[1:]


def blur_with_zeros(network: RightNetwork, layer: str) -> Damage:
    def wrong(rgb: Tensor) -> Tensor:
        taps = torch.tensor([0.25, 0.5, 0.25], dtype=rgb.dtype)
        kernel = torch.outer(taps, taps).expand(rgb.shape[1], 1, 3, 3)
        return F.conv2d(rgb, kernel, padding=1, groups=rgb.shape[1])

    return within(network.layer(layer), lucidrains, "blur", wrong)


def find_upsampling(network: RightNetwork) -> list[str]:
    """Convolutions that upsample, and of StyleGAN2 also the branches of the image and the skip."""
    if network.family == "lucidrains":
        blocks = list(network.layers(lucidrains.Block))[1:]
        return [name for block in blocks for name in (block, f"{block}.enlarge")]
    if network.family == "stylegan1":
        return list(network.layers(stylegan1.UpConv))
    if network.family == "stylegan3":
        layers = network.layers(stylegan3.FilteredLayer)
        return [name for name, layer in layers.items() if layer.layer.up > 1]
    found = []
    for name, block in list(network.layers(stylegan2.Block).items())[1:]:
        image = [] if network.config.architecture == "resnet" else [f"{name}.image"]
        skip = [f"{name}.skip"] if hasattr(block, "skip") else []
        found += [f"{name}.conv0", *image, *skip]
    return found


def find_filters(network: RightNetwork) -> list[str]:
    """[1, 2, 1] of StyleGAN 1 is fixed, and the filters of StyleGAN3 are symmetric by design."""
    return find_upsampling(network) if network.family == "stylegan2" else []


def make_filters_asymmetric(network: RightNetwork, layer: str) -> Damage:
    taps = torch.tensor([1.0, 2, 3, 4]) / 10
    blocks = network.layers(stylegan2.Block).values()
    return both(*(changed(block.resample_filter, torch.outer(taps, taps)) for block in blocks))


def flip_filter(network: RightNetwork, layer: str) -> Damage:
    return upsampling2(network, layer, fir=lambda fir: fir.flip([0, 1]))


def upsampling2(
    network: RightNetwork,
    layer: str,
    *,
    fir: Callable[[Tensor], Tensor] = lambda fir: fir,
    result: Callable[[Tensor], Tensor] = lambda x: x,
) -> Damage:
    """An upsampling of StyleGAN2 with another filter or another result."""

    def convolve(*arguments: Any, **options: Any) -> Tensor:
        return result(modulated_conv2d(*arguments, **(options | {"fir": fir(options["fir"])})))

    def upsample(x: Tensor, own: Tensor) -> Tensor:
        return result(upsample2d(x, fir(own)))

    name, _, kind = layer.partition(".")
    block = network.layer(name)
    if kind == "conv0":
        return within(block.conv0, stylegan2, "modulated_conv2d", convolve)
    return within(block.skip if kind == "skip" else block, stylegan2, "upsample2d", upsample)


def exchange_phases(network: RightNetwork, layer: str) -> Damage:
    """Right of a pixel is what belongs below it, as if the rows of the phases were its columns."""
    if network.family == "stylegan2":
        return upsampling2(network, layer, result=phases_exchanged)
    module = network.layer(layer)
    if network.family == "lucidrains":
        double = lucidrains.upsample
        return within(module, lucidrains, "upsample", lambda x: phases_exchanged(double(x)))
    if network.family == "stylegan1":
        convolve = module.convolve
        return mock.patch.object(module, "convolve", lambda *xw: phases_exchanged(convolve(*xw)))

    def upsample(x: Tensor, fir: Tensor, **options: Any) -> Tensor:
        y = upfirdn2d(x, fir, **options)
        return phases_exchanged(y) if options.get("up", 1) > 1 else y

    return within(module, layers3, "upfirdn2d", upsample)


def phases_exchanged(x: Tensor) -> Tensor:
    """x [N, C, H, W] with the phases (0, 1) and (1, 0) exchanged."""
    H, W = (side // 2 * 2 for side in x.shape[2:])
    y = x.clone()
    y[:, :, 0:H:2, 1:W:2] = x[:, :, 1:H:2, 0:W:2]
    y[:, :, 1:H:2, 0:W:2] = x[:, :, 0:H:2, 1:W:2]
    return y


# ---- Modulation --------------------------------------------------------------------------------


# Where the layers of each family find the modulated convolution.
SPACES = {"stylegan2": stylegan2, "lucidrains": lucidrains, "stylegan3": layers3}


def find_demodulation(network: RightNetwork) -> list[str]:
    kinds = (stylegan2.StyledConv, lucidrains.StyledConv, stylegan3.FilteredLayer)
    layers = network.layers(*kinds)
    return [n for n, m in layers.items() if not (hasattr(m, "layer") and m.layer.is_torgb)]


def omit_demodulation(network: RightNetwork, layer: str) -> Damage:
    def plain(*arguments: Any, demodulate: bool = True, **options: Any) -> Tensor:
        return modulated_conv2d(*arguments, demodulate=False, **options)

    return within(network.layer(layer), SPACES[network.family], "modulated_conv2d", plain)


def shrink_styles(network: RightNetwork, layer: str) -> Damage:
    affine = network.layer(layer).affine
    return both(
        changed(affine.weight, affine.weight * 1e-2), changed(affine.bias, affine.bias * 1e-2)
    )


def set_epsilon(network: RightNetwork, layer: str, *, epsilon: float) -> Damage:
    """Another epsilon of the demodulation, which is 1e-8.

    StyleGAN3 normalises weights and styles before, lest small ones be lost in it: here they are
    not, or small styles would be no others.
    """

    def convolve(x: Tensor, weight: Tensor, styles: Tensor, **options: Any) -> Tensor:
        y = modulated_conv2d(x, weight, styles, demodulate=False, fir=options.get("fir"))
        squares = styles.square() @ weight.square().sum(dim=[2, 3]).T
        return y * torch.rsqrt(squares + epsilon)[:, :, None, None]

    def normalized(x: Tensor, weight: Tensor, styles: Tensor, **options: Any) -> Tensor:
        x = F.pad(x, [weight.shape[-1] // 2] * 4)
        return convolve(x * options["magnitude"].rsqrt(), weight, styles)

    module = network.layer(layer)
    if network.family == "stylegan3":
        return within(module, stylegan3, "normalized_conv2d", normalized)
    return within(module, SPACES[network.family], "modulated_conv2d", convolve)


def find_clamps(network: RightNetwork) -> list[str]:
    """A clamp that no value reaches is none."""
    reached = set()
    hooks = []
    for name, layer in network.layers(stylegan2.StyledConv, stylegan2.ToRGB).items():
        if layer.conv_clamp is None:
            continue

        def look(module: Any, inputs: Any, y: Tensor, name: str = name) -> None:
            if y.abs().max() >= module.conv_clamp:
                reached.add(name)

        hooks.append(layer.register_forward_hook(look))
    for case in network.cases["img"]:
        network.draw("img", case)
    for hook in hooks:
        hook.remove()
    return sorted(reached)


def omit_clamp(network: RightNetwork, layer: str) -> Damage:
    return mock.patch.object(network.layer(layer), "conv_clamp", None)


# ---- What is fed, and how the result is turned -------------------------------------------------


def find_neighbours(network: RightNetwork) -> list[str]:
    """Every w and the next one; a layer of StyleGAN3 stands for its own and that of the next."""
    if network.family == "stylegan3":
        return [name for name, _ in network.model.synthesis.named_children()][:-1]
    return [f"ws {i} and {i + 1}" for i in range(network.config.num_ws - 1)]


def exchange_ws(network: RightNetwork, layer: str) -> Damage:
    order = list(range(network.config.num_ws))
    i = find_neighbours(network).index(layer)
    order[i : i + 2] = i + 1, i
    synthesis = network.model.synthesis
    forward = synthesis.forward
    return mock.patch.object(synthesis, "forward", lambda ws, **o: forward(ws[:, order], **o))


def find_ws(network: RightNetwork) -> list[str]:
    return [f"w {i}" for i in range(network.config.num_ws)]


def ignore_psi(network: RightNetwork, layer: str) -> Damage:
    def wrong(psi: Psi, seeds: Sequence[int], num_ws: int) -> np.ndarray:
        rows = make_psis(psi, seeds, num_ws)
        rows[:, int(layer.split()[1])] = 1
        return rows

    return mock.patch.object(parity_reference, "make_psis", wrong)


def find_cutoffs(network: RightNetwork) -> list[str]:
    return ["one too few", "one too many"]


def shift_cutoff(network: RightNetwork, layer: str) -> Damage:
    by = {"one too few": -1, "one too many": 1}[layer]

    def wrong(psi: Psi, *arguments: Any) -> np.ndarray:
        cutoff = psi.cutoff if psi.cutoff is None else psi.cutoff + by
        return make_psis(replace(psi, cutoff=cutoff), *arguments)

    return mock.patch.object(parity_reference, "make_psis", wrong)


def find_roundings(network: RightNetwork) -> list[str]:
    return ["truncated", "rounded"]


def round_wrongly(network: RightNetwork, layer: str) -> Damage:
    def wrong(img: np.ndarray) -> np.ndarray:
        x = img.transpose(0, 2, 3, 1) * np.float32(127.5)
        scaled = x + np.float32(127.5) if layer == "truncated" else np.rint(x + np.float32(128))
        return np.clip(scaled, 0, 255).astype(np.uint8)

    return mock.patch.object(images, "to_uint8", wrong)


def find_transforms(network: RightNetwork) -> list[str]:
    return ["all of it", "its linear part"] if network.config.has_transform else []


def transpose_transform(network: RightNetwork, layer: str) -> Damage:
    synthesis = network.model.synthesis
    forward = synthesis.forward

    def wrong(ws: Tensor, *, transform: Tensor | None = None) -> Any:
        if transform is not None and layer == "all of it":
            transform = transform.transpose(1, 2)
        elif transform is not None:
            transform = transform.clone()
            transform[:, :2, :2] = transform[:, :2, :2].transpose(1, 2)
        return forward(ws, transform=transform)

    return mock.patch.object(synthesis, "forward", wrong)


PER_CENT = functools.partial(scale_bias, factor=1.01)
PER_MILLE = functools.partial(scale_bias, factor=1.001)

MUTATIONS = (
    Mutation("3x3 weight flipped", find_3x3, flip_weight),
    Mutation(
        "filter [1, 2, 3, 4] flipped", find_filters, flip_filter, prepare=make_filters_asymmetric
    ),
    Mutation("phases of an upsampling exchanged", find_upsampling, exchange_phases),
    Mutation("noise missing", find_noise, silence),
    Mutation("noises of two layers exchanged", find_equal_noises, exchange_noises),
    Mutation("map of the noise cut in another way", find_noise_maps, cut_wrongly),
    Mutation("blur with zeros around the image", find_borders, blur_with_zeros),
    Mutation("bias off by 1 %", find_biases, PER_CENT),
    Mutation("bias off by 0.1 %", find_biases, PER_MILLE, bound=2),
    Mutation("bias of styles off by 1 %", find_style_biases, PER_CENT),
    Mutation("bias of styles off by 0.1 %", find_style_biases, PER_MILLE, bound=2),
    Mutation(
        "bias of the mapping off by 1 %",
        find_mapping_biases,
        functools.partial(PER_CENT, part="mapping"),
        output="ws",
    ),
    Mutation(
        "bias of the mapping off by 0.1 %",
        find_mapping_biases,
        functools.partial(PER_MILLE, part="mapping"),
        output="ws",
        bound=2,
    ),
    Mutation(
        "row of the next class",
        find_classes,
        functools.partial(take_next_row, table="embed.weight"),
        output="ws",
    ),
    Mutation(
        "mean of the next class",
        find_classes,
        functools.partial(take_next_row, table="w_avg"),
        output="ws",
    ),
    Mutation("demodulation missing", find_demodulation, omit_demodulation),
    Mutation(
        "epsilon of 1e-2, styles of a hundredth",
        find_demodulation,
        functools.partial(set_epsilon, epsilon=1e-2),
        prepare=shrink_styles,
    ),
    Mutation("ws of two layers exchanged", find_neighbours, exchange_ws),
    Mutation("clamp missing", find_clamps, omit_clamp),
    Mutation("psi ignored by a layer", find_ws, ignore_psi, output="ws"),
    Mutation("cutoff off by one", find_cutoffs, shift_cutoff, output="ws"),
    Mutation("bytes rounded in another way", find_roundings, round_wrongly, output="image"),
    Mutation("transform transposed", find_transforms, transpose_transform),
)

# What nothing may rest on: some draw what the right network draws, or as good as.
UNSEEN = (
    Mutation("epsilon of 1e-4", find_demodulation, functools.partial(set_epsilon, epsilon=1e-4)),
    Mutation("epsilon of 1e-2", find_demodulation, functools.partial(set_epsilon, epsilon=1e-2)),
    Mutation(
        "epsilon of 1e-4, styles of a hundredth",
        find_demodulation,
        functools.partial(set_epsilon, epsilon=1e-4),
        prepare=shrink_styles,
    ),
    Mutation("symmetric filter flipped", find_filters, flip_filter),
)
