"""A generator that draws as words tell, after StyleGAN-NADA (Gal et al. 2021).

python examples/text_style.py BUNDLE CHECKPOINT PAIR OUT.safetensors --neutral "..." --text "..."

PAIR is a CLIP. A frozen generator and a trained one draw the same w: the step from picture to
picture has to point where the texts do. The paper trains weights; biases deceive a small pair less.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import normalize

import stylert
from stylert.apps.words import Pair, find_text_direction
from stylert.export.checkpoints import read_checkpoint, write_native
from stylert.export.families import build_model

FROZEN = ("affine", "torgb", "to_rgb")  # as in the paper, and the mapping network


def main() -> None:
    """Fine-tune."""
    parser = argparse.ArgumentParser()
    for name in ("bundle", "checkpoint", "pair", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--neutral", required=True, help="what the pictures show now")
    parser.add_argument("--text", required=True, help="what they shall show")
    parser.add_argument("--steps", type=int, default=60)
    args = parser.parse_args()
    pair, checkpoint = Pair.open(args.pair), read_checkpoint(args.checkpoint)
    direction = torch.from_numpy(find_text_direction(pair, args.text, args.neutral))
    model = build_model(checkpoint)
    for name, parameter in model.synthesis.named_parameters():
        parameter.requires_grad_(name.endswith("bias") and not any(p in name for p in FROZEN))
    optimizer = torch.optim.Adam(model.synthesis.parameters(), lr=5e-3, betas=(0.0, 0.99))
    losses: list[float] = []
    with stylert.open(args.bundle) as generator:
        classes = generator.spec.c_dim
        for step in range(args.steps):
            seeds = range(4 * step, 4 * step + 4)
            labels = np.eye(classes)[[seed % classes for seed in seeds]] if classes else None
            ws = generator.styles(seeds, labels=labels)
            before = torch.from_numpy(pair.embed_images(generator.synthesize(ws, output="img")))
            img = model.synthesis(torch.from_numpy(ws))
            seen = img.detach().numpy()
            points = torch.from_numpy(pair.embed_images(seen)).requires_grad_()
            step_taken = normalize(points - before, eps=0.1)  # none at first: both draw the same
            loss = (1 - step_taken @ direction).mean()
            (of_points,) = torch.autograd.grad(loss, points)
            optimizer.zero_grad()
            img.backward(torch.from_numpy(pair.find_gradient(seen, of_points.numpy())[1]))
            optimizer.step()
            losses.append(loss.item())
    tensors = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    told = (*checkpoint.notes, f"from {args.neutral!r} to {args.text!r}")
    write_native(replace(checkpoint, tensors=tensors, notes=told), args.out, overwrite=True)
    print(f"{args.out}: the loss was {losses[0]:.3f}, now it is {losses[-1]:.3f}")


if __name__ == "__main__":
    main()
