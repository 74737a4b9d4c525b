"""A generator that draws in the style of one picture, after JoJoGAN (Chong and Forsyth 2021).

python examples/one_picture_style.py BUNDLE CHECKPOINT STYLE.png OUT.safetensors

The bundle's encoder finds the w of the style picture. The generator learns to draw that picture
also where the fine layers have the w of others, so that what they say of colour and texture is the
picture's. JoJoGAN compares features of a discriminator; here it is pictures, at several sizes.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

import stylert
from stylert.export.checkpoints import read_checkpoint, write_native
from stylert.export.families import build_model
from stylert.runtime.files.pictures import read_picture, resize_picture


def compare(img: Tensor, target: Tensor) -> Tensor:
    """How far pictures [N, C, H, W] are from one [1, C, H, W]: the mean over three sizes."""
    off = [avg_pool2d(img, k) - avg_pool2d(target, k) for k in (1, 2, 4)]
    return torch.stack([d.abs().mean() for d in off]).mean()


def main() -> None:
    """Fine-tune."""
    parser = argparse.ArgumentParser()
    for name in ("bundle", "checkpoint", "style", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--steps", type=int, default=200)
    args = parser.parse_args()
    checkpoint = read_checkpoint(args.checkpoint)
    model = build_model(checkpoint)
    model.synthesis.requires_grad_(True)  # the mapping network stays as it is
    optimizer = torch.optim.Adam(model.synthesis.parameters(), lr=2e-3, betas=(0.0, 0.99))
    losses: list[float] = []
    with stylert.open(args.bundle) as generator:
        s, picture = generator.spec, read_picture(args.style)
        own = torch.from_numpy(generator.invert(picture))
        small = torch.from_numpy(resize_picture(picture, s.img_height, s.img_width))
        target = small.permute(2, 0, 1)[None] / 127.5 - 1
        fine = [*(generator.layer_groups["fine"] or generator.layer_groups["all"][-2:])]
        for step in range(args.steps):
            seeds = range(4 * step, 4 * step + 4)
            labels = np.eye(s.c_dim)[[seed % s.c_dim for seed in seeds]] if s.c_dim else None
            others, ws = generator.styles(seeds, labels=labels), own.repeat(4, 1, 1)
            ws[:, fine] = torch.from_numpy(others[:, fine])
            optimizer.zero_grad()
            (loss := compare(model.synthesis(ws), target)).backward()
            optimizer.step()
            losses.append(loss.item())
    tensors = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    notes = (*checkpoint.notes, f"in the style of {args.style.name}")
    write_native(replace(checkpoint, tensors=tensors, notes=notes), args.out, overwrite=True)
    print(f"{args.out}: the style picture was drawn to {losses[0]:.3f}, now to {losses[-1]:.3f}")


if __name__ == "__main__":
    main()
