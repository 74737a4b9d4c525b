"""Train a small encoder for a generator, from its own samples: no pictures are needed.

python -m stylert.examples.train_encoder ffhq.pkl --out ffhq-encoder.safetensors
stylert encoder ffhq-bundle ffhq-encoder.safetensors
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.progress import Progress

from stylert.examples.train_encoder.samples import draw_samples
from stylert.examples.train_encoder.training import Settings, choose_config, train
from stylert.export.checkpoints import read_checkpoint
from stylert.export.encoders.native import write_encoder

__all__ = ["main"]


def main(
    checkpoint: Annotated[Path, typer.Argument(help="Any checkpoint that `stylert export` reads.")],
    out: Annotated[Path, typer.Option(help="The .safetensors file to write.")],
    samples: Annotated[int, typer.Option(help="Pictures to learn from, in hundreds.", min=100)] = (
        16_000
    ),
    steps: Annotated[int, typer.Option(help="Steps on w.", min=1)] = Settings.steps,
    fine_steps: Annotated[int, typer.Option(help="Steps on pictures.")] = Settings.fine_steps,
    seed: Annotated[int, typer.Option(help="Of samples and weights.")] = Settings.seed,
    threads: Annotated[int, typer.Option(help="CPU threads.", min=1)] = os.cpu_count() or 1,
) -> None:
    """Train a small encoder for a generator, from its own samples."""
    torch.set_num_threads(threads)
    model = read_checkpoint(checkpoint)
    config = choose_config(model)
    count = samples // 100 * 100
    with Progress() as progress:
        drawing = progress.add_task("drawing samples", total=count)
        drawn = draw_samples(
            model,
            count,
            (config.height, config.width),
            seed=seed,
            threads=threads,
            progress=lambda done: progress.update(drawing, completed=done),
        )
        learning = progress.add_task("learning", total=steps)
        encoder = train(
            model,
            drawn,
            Settings(seed=seed, steps=steps, fine_steps=fine_steps),
            progress=lambda stage, done, total: progress.update(
                learning, description=stage, completed=done, total=total
            ),
        )
    about = f"{count} samples of {model.source.file}, {steps} steps on w, {fine_steps} on pictures"
    write_encoder(encoder, out, trained=about)
    typer.echo(f"Wrote {out}. Add it to the bundle: stylert encoder BUNDLE {out}")


if __name__ == "__main__":
    typer.run(main)
