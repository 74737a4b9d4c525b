"""Encoders in plain PyTorch, written to be read: the reference of what their graph is checked with.

"pSp" is Richardson et al. 2021 (Encoding in Style), "e4e" Tov et al. 2021 (Designing an Encoder for
StyleGAN Image Manipulation), "ReStyle" Alaluf et al. 2021. Every tensor has the name that
`encoders.config` gives it. Inference only: batch normalisation uses its stored statistics.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylert.export.encoders.config import (
    COARSE,
    MIDDLE,
    POOLED,
    Encoder,
    EncoderConfig,
    list_units,
)

__all__ = ["EncoderModel", "pool_picture"]


class EncoderModel(nn.Module):
    """A whole encoder: photos to ws.

    Args:
        config: the architecture.
    """

    average: Tensor | None

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.average = None
        backbone = {"ir_se50": IRSE50, "resnet34": ResNet34, "plain": Plain}[config.backbone]
        self.backbone = backbone(config)
        self.head = _make_head(config)

    @classmethod
    def from_encoder(cls, encoder: Encoder) -> EncoderModel:
        """The encoder with its weights, in float32, ready for inference."""
        with torch.device("meta"):  # no time lost on weights that are overwritten
            model = cls(encoder.config)
        # Official names do not say what is backbone and what is head.
        of_backbone = set(model.backbone.state_dict())
        state = {
            f"{'backbone' if name in of_backbone else 'head'}.{name}": torch.from_numpy(array)
            for name, array in encoder.tensors.items()
        }
        for name in model.state_dict():
            if name.endswith("num_batches_tracked"):  # a counter of the training
                state[name] = torch.zeros([], dtype=torch.int64)
        model.load_state_dict(state, strict=True, assign=True)
        if encoder.average is not None:
            model.average = torch.tensor(encoder.average)
        return model.eval().requires_grad_(False)

    def forward(
        self, photo: Tensor, img: Tensor | None = None, codes: Tensor | None = None
    ) -> Tensor:
        """Make the ws [N, num_ws, w_dim] of photos.

        Args:
            photo: [N, channels, height, width], in [-1, 1]; sketches and label maps in [0, 1].
            img: with feedback, what the generator draws of `codes`: [N, 3, H, W].
            codes: with feedback, the ws so far, to which those of this pass are added.
        """
        c = self.config
        x = photo if img is None else torch.cat([photo, pool_picture(img, c)], dim=1)
        made: Tensor = self.head(self.backbone(x))  # [N, num_codes, w_dim]
        if c.offsets:
            made = torch.cat([made[:, :1], made[:, :1] + made[:, 1:]], dim=1)
        ws = made[:, : c.num_ws].expand(-1, c.num_ws, -1)
        if codes is not None:
            return codes + ws
        return ws if self.average is None else ws + self.average


def pool_picture(img: Tensor, config: EncoderConfig) -> Tensor:
    """The generator's picture [N, C, H, W] as the encoder sees it: [N, C, height, width]."""
    if config.rows is not None:
        first, end = config.rows
        img = img[:, :, first:end]
    return F.adaptive_avg_pool2d(img, (config.height, config.width))


# Backbones: each gives its last three maps, from the largest to the smallest.


class IRSE50(nn.Module):
    """The network for faces of ArcFace (Deng et al. 2019), whose units weight their channels."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        first = config.widths[0]
        self.input_layer = nn.Sequential(
            nn.Conv2d(config.in_channels, first, 3, padding=1, bias=False),
            nn.BatchNorm2d(first),
            nn.PReLU(first),
        )
        self.body = nn.Sequential(*(FaceUnit(*unit, config.squeeze) for unit in list_units(config)))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Maps of 1/4, 1/8 and 1/16 of the photo's size."""
        return _collect(self.body, self.input_layer(x), (6, 20, 23))


class FaceUnit(nn.Module):
    """Two convolutions between normalisations, and a way around them."""

    def __init__(self, wide: int, depth: int, stride: int, squeeze: int) -> None:
        super().__init__()
        self.stride = stride
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(wide),
            nn.Conv2d(wide, depth, 3, padding=1, bias=False),
            nn.PReLU(depth),
            nn.Conv2d(depth, depth, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(depth),
            Excitation(depth, squeeze),
        )
        if wide != depth:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(wide, depth, 1, stride=stride, bias=False), nn.BatchNorm2d(depth)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map x [N, wide, H, W] to [N, depth, H/stride, W/stride]."""
        if hasattr(self, "shortcut_layer"):
            around = self.shortcut_layer(x)
        else:
            around = x[:, :, :: self.stride, :: self.stride]
        y: Tensor = self.res_layer(x) + around
        return y


class Excitation(nn.Module):
    """Squeeze-and-excitation (Hu et al. 2018): the whole map weights its channels."""

    def __init__(self, width: int, squeeze: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(width, width // squeeze, 1, bias=False)
        self.fc2 = nn.Conv2d(width // squeeze, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Weight the channels of x [N, C, H, W]."""
        mean = x.mean(dim=[2, 3], keepdim=True)
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(mean))))


class ResNet34(nn.Module):
    """A ResNet-34 (He et al. 2016) without its first pooling, and with a PReLU there."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        first = config.widths[0]
        self.conv1 = nn.Conv2d(config.in_channels, first, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.relu = nn.PReLU(first)
        self.body = nn.Sequential(*(BasicUnit(*unit) for unit in list_units(config)))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Maps of 1/4, 1/8 and 1/16 of the photo's size."""
        return _collect(self.body, self.relu(self.bn1(self.conv1(x))), (6, 12, 15))


class BasicUnit(nn.Module):
    """Two convolutions, each normalised, and a way around them."""

    def __init__(self, wide: int, depth: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(wide, depth, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(depth)
        self.conv2 = nn.Conv2d(depth, depth, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(depth)
        if wide != depth or stride > 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(wide, depth, 1, stride=stride, bias=False), nn.BatchNorm2d(depth)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map x [N, wide, H, W] to [N, depth, H/stride, W/stride]."""
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))


class Plain(nn.Module):
    """Our own small one, for `examples/train_encoder`: convolutions, then a dense layer."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        w = config.widths
        self.stem = nn.Conv2d(4 * config.in_channels, w[0], 3, padding=1)
        pairs = list(pairwise(w))
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairs)
        self.same = nn.ModuleList(nn.Conv2d(b, b, 3, padding=1) for _, b in pairs)
        smallest = (config.height >> len(w)) * (config.width >> len(w))
        self.hidden = nn.Linear(w[-1] * smallest, config.hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Map photos [N, C, H, W] to [N, hidden]."""
        x = F.leaky_relu(self.stem(F.pixel_unshuffle(x, 2)), 0.2)
        for down, same in zip(self.down, self.same, strict=True):
            x = F.leaky_relu(down(x), 0.2)
            x = x + F.leaky_relu(same(x), 0.2)
        return F.leaky_relu(self.hidden(x.flatten(1)), 0.2)


def _collect(body: nn.Sequential, x: Tensor, ends: tuple[int, ...]) -> list[Tensor]:
    """What some units of a body give."""
    maps = []
    for i, unit in enumerate(body):
        x = unit(x)
        if i in ends:
            maps.append(x)
    return maps


# Heads: from the backbone's maps to codes [N, num_codes, w_dim].


def _make_head(config: EncoderConfig) -> nn.Module:
    heads = {"pyramid": Blocks, "flat": Blocks, "w": MeanHead, "w_plus": DenseHead}
    return {**heads, "plain": PlainHead}[config.head](config)


class Blocks(nn.Module):
    """A style block for each layer: on the last map, or on those of a pyramid (pSp, figure 2)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        width = config.widths[-1]
        self.styles = nn.ModuleList(
            StyleBlock(width, config.w_dim, config.count_convs(code))
            for code in range(config.num_codes)
        )
        if config.head == "pyramid":
            self.latlayer1 = nn.Conv2d(config.widths[2], width, 1)
            self.latlayer2 = nn.Conv2d(config.widths[1], width, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """A code of each block."""
        fine, middle, coarse = maps
        if not hasattr(self, "latlayer1"):
            return torch.stack([style(coarse) for style in self.styles], dim=1)
        middle = _enlarge_to(coarse, middle) + self.latlayer1(middle)
        fine = _enlarge_to(middle, fine) + self.latlayer2(fine)
        seen = [coarse] * COARSE + [middle] * (MIDDLE - COARSE) + [fine] * len(self.styles)
        codes = [style(x) for style, x in zip(self.styles, seen, strict=False)]
        return torch.stack(codes, dim=1)


def _enlarge_to(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=True)


class StyleBlock(nn.Module):
    """Convolutions that halve a map down to one position, and a dense layer."""

    def __init__(self, width: int, w_dim: int, count: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i in range(count):
            layers += [
                nn.Conv2d(w_dim if i else width, w_dim, 3, stride=2, padding=1),
                nn.LeakyReLU(0.01),
            ]
        self.convs = nn.Sequential(*layers)
        self.linear = EqualLinear(w_dim, w_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map x [N, width, H, W] to a code [N, w_dim]."""
        code: Tensor = self.linear(self.convs(x).flatten(1))
        return code


class EqualLinear(nn.Module):
    """A dense layer with an equalised learning rate: its stored weight has unit variance."""

    def __init__(self, wide: int, out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out, wide))
        self.bias = nn.Parameter(torch.empty(out))

    def forward(self, x: Tensor) -> Tensor:
        """Map x [N, wide] to [N, out]."""
        return F.linear(x, self.weight / math.sqrt(self.weight.shape[1]), self.bias)


class MeanHead(nn.Module):
    """One code for all layers, from the mean of the last map."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.linear = EqualLinear(config.widths[-1], config.w_dim)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """[N, 1, w_dim]."""
        code: Tensor = self.linear(maps[-1].mean(dim=[2, 3]))
        return code[:, None]


class DenseHead(nn.Module):
    """All codes from the flattened last map."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        width = config.widths[-1]
        self.shape = (config.num_codes, config.w_dim)
        self.output_layer_2 = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.AdaptiveAvgPool2d(POOLED),
            nn.Flatten(),
            nn.Linear(width * POOLED**2, config.w_dim),
        )
        self.linear = EqualLinear(config.w_dim, config.num_codes * config.w_dim)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """[N, num_codes, w_dim]."""
        codes: Tensor = self.linear(self.output_layer_2(maps[-1]))
        return codes.reshape(-1, *self.shape)


class PlainHead(nn.Module):
    """One code for all layers, of a dense layer."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.codes = nn.Linear(config.hidden, config.w_dim)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 1, w_dim]."""
        code: Tensor = self.codes(x)
        return code[:, None]
