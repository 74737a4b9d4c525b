"""Train StyleRT's demo network on pictures that this program draws, and publish it.

python -m stylert.examples.train_demo train OUT
python -m stylert.examples.train_demo publish OUT --to examples/demo.safetensors
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stylert.examples.train_demo.dataset import draw_pictures
from stylert.examples.train_demo.features import train_reader
from stylert.examples.train_demo.publishing import (
    describe_training,
    make_half_checkpoint,
    measure_figures,
)
from stylert.examples.train_demo.sheets import draw_class_samples, save_sheet
from stylert.examples.train_demo.training import Settings, Training
from stylert.export.checkpoints import read_checkpoint
from stylert.export.checkpoints.native import write_native
from stylert.export.models.stylegan2 import StyleGAN2
from stylert.runtime.bundle import hash_file

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__
)

COLUMNS = 12  # of the sample sheets
READER_PICTURES = 19_200  # that the feature extractor is trained on
FIGURE_SEEDS = (5_000_011, 5_000_021)  # of pictures that no network was trained on

Folder = Annotated[Path, typer.Argument(help="Folder of the state and the sample sheets.")]


@app.command()
def train(
    out: Folder,
    images: Annotated[int, typer.Option(help="Images to see in all.")] = 400_000,
    seed: Annotated[int, typer.Option(help="Of a new training.")] = 1,
    every: Annotated[int, typer.Option(help="Images between two saves.")] = 5_000,
    device: Annotated[str, typer.Option(help="Of PyTorch: cpu, cuda, cuda:1.")] = "cpu",
    change: Annotated[
        str, typer.Option(help="Other settings from now on, as JSON: '{\"learning_rate\": 0.002}'.")
    ] = "{}",
) -> None:
    """Train, or go on with what the folder holds; stop it whenever you like."""
    out.mkdir(parents=True, exist_ok=True)
    state = out / "state.pt"
    if state.exists():
        training = Training.restore(state, device=device)
    else:
        training = Training(Settings(seed=seed), device=device)
    training.change(json.loads(change))
    with Progress(*_columns()) as progress:
        task = progress.add_task("", total=images, completed=training.seen)
        while training.seen < images:
            before = training.seen
            training.step()
            progress.update(task, completed=training.seen, description=_told(training))
            if training.seen // every > before // every or training.seen >= images:
                training.save(state)
                sheet = out / f"samples-{training.seen // 1000:04d}k.png"
                save_sheet(draw_class_samples(training.average, COLUMNS), COLUMNS, sheet)
                progress.console.print(f"{_told(training)}: {sheet}", soft_wrap=True)


def _columns() -> tuple[TextColumn, BarColumn, MofNCompleteColumn, TimeRemainingColumn]:
    return (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )


def _told(training: Training) -> str:
    size = training.config.img_shape[0]
    losses = training.history[-1] if training.history else {}
    shown = "  ".join(
        f"{k} {v:.2f}" for k, v in losses.items() if k not in ("images", "resolution")
    )
    return f"{training.seen} images, {training.seconds:.0f} s, {size} px  {shown}"


@app.command()
def publish(
    out: Folder,
    to: Annotated[Path, typer.Option(help="The checkpoint to write; its record goes beside it.")],
    pictures: Annotated[int, typer.Option(help="That the figures are measured on.")] = 3_000,
) -> None:
    """Write the newest state as a checkpoint, measure it, and write where it comes from."""
    state = out / "state.pt"
    training = Training.restore(state)
    checkpoint = make_half_checkpoint(training, state)
    write_native(checkpoint, to, overwrite=True)
    model = StyleGAN2.from_checkpoint(read_checkpoint(to))  # what a user of the file gets
    reader = train_reader(READER_PICTURES, seed=training.settings.seed)
    real, other = (draw_pictures(pictures, seed=seed) for seed in FIGURE_SEEDS)
    about = describe_training(training, checkpoint)
    about["quality"] = measure_figures(model, reader, real, other)
    about["file"] = {"name": to.name, "bytes": to.stat().st_size, "sha256": hash_file(to)}
    to.with_suffix(".json").write_text(json.dumps(about, indent=1) + "\n")
    typer.echo(json.dumps(about["quality"], indent=1))


if __name__ == "__main__":
    app()
