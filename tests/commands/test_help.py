"""What `--help` shows: texts that stand alone, panels, and examples that run."""

from __future__ import annotations

import inspect
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from stylert import cli
from stylert.apps.bench import tuning
from stylert.apps.demo import WORDS
from stylert.apps.projection import latent_statistics
from stylert.export.adjoint.bundle_gradient import add_gradient
from stylert.export.encoders.bundling import add_encoder
from stylert.export.encoders.native import write_encoder
from stylert.export.encoders.reader import read_encoder
from stylert.runtime.bundle import Bundle

COMMANDS: dict[str, Any] = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
OPTIONS = [
    (f"{name} {option.opts[0]}", option)
    for name, command in COMMANDS.items()
    for option in command.params
    if option.param_type_name == "option"
]
NETWORK = "sg2-nhwc-32"  # of half precision, and small: stands for that of the examples
PANELS = {
    *("Picture", "Walk", "What the bundle holds", "Where it runs", "Output", "Storage", "Data set"),
    *("Checkpoint", "Proof", "Half precision", "8 bits", "Engine", "Models", "Inversion"),
    *("Service", "Cluster", "What is timed", "What is compared", "Features", "Plan", "Search"),
    *("Weights", "Site", "Words", "One file", "Faces"),
}
SHORTER = {
    "export": "--verify-seeds 1",
    "verify": "--seeds 1",
    "bench": "--rounds 1 --max-seconds 1 --threads 1",
    "project": "--steps 2 --seeds-start 2",
    "inpaint": "--steps 2 --seeds-start 2",
    "search": "--seeds-start 4 --generations 1",
}
SMALLER = {
    "0-49999": "0-4",
    "--shard-size 1000": "--shard-size 2",
    "--seconds 2": "--seconds 0.2",
    "--samples 50000": "--samples 6",
    "--samples 1000": "--samples 6",
    "--plan 1000000": "--plan 1000000 --backends onnxruntime",
    "--encoder --batch 1,8": "--encoder --batch 1 --backends onnxruntime",
    "--batch 1,4 --plot": "--batch 1 --backends torch-eager,onnxruntime --plot",
}
NOT_HERE = ("serve ", "ray ffhq-bundle --address")  # they run until they are stopped


def examples() -> Iterator[str]:
    for command in COMMANDS.values():
        for example in re.findall(r"Example: stylert (.+)", inspect.cleandoc(command.help)):
            if not example.startswith(NOT_HERE):
                yield example


def test_a_text_stands_alone() -> None:
    for name, option in OPTIONS:
        assert re.fullmatch(r"[A-Z0-9].*[^.]\.", option.help), name
        assert option.rich_help_panel in PANELS, name


@pytest.mark.filterwarnings("ignore:text. no sample comes nearer")
@pytest.mark.usefixtures("warm_python")
@pytest.mark.parametrize("example", list(examples()))
def test_an_example_runs(
    example: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    goldens: Path,
    bundle_of: Callable[[str], Path],
    make_encoder: Callable[[int, int], Any],
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(goldens / f"{NETWORK}.pkl", "ffhq.pkl")
    if not example.startswith("export"):
        shutil.copytree(bundle_of(NETWORK), "ffhq-bundle")
    if example.startswith(("project", "inpaint")):
        add_gradient(Path("ffhq-bundle"))
        Image.new("RGB", (60, 50), "tan").save("me.png")
        mask = Image.new("L", (60, 50), "white")
        mask.paste("black", (20, 20, 40, 40))
        mask.save("mask.png")
    if example.startswith("verify images"):
        run = "generate ffhq-bundle --seeds 0-3 --out images"
        assert CliRunner().invoke(cli.app, run.split()).exit_code == 0
    if example.startswith("evaluate ffhq-bundle --data"):
        run = "generate ffhq-bundle --seeds 100-105 --out ffhq.zip"
        assert CliRunner().invoke(cli.app, run.split()).exit_code == 0
    if example.startswith(("encoder", "invert")) or "--encoder" in example:
        spec = Bundle.open("ffhq-bundle").spec
        encoder = make_encoder(spec.num_ws, spec.w_dim)
        write_encoder(encoder, Path("ffhq-encoder.safetensors"), trained="nothing")
        Image.new("RGB", (20, 30)).save("photo.jpg")
    if example.startswith("invert") or "--encoder" in example:
        stored = read_encoder("ffhq-encoder.safetensors")  # in halves
        add_encoder("ffhq-bundle", stored, verify=False)
    if example.startswith("search"):
        shutil.copytree(WORDS, "clip-vit-b32")
    if example.startswith("web"):
        monkeypatch.setattr("stylert.apps.web.find_runtime", lambda _: {})  # npm would fetch it
    monkeypatch.setattr(tuning, "MOST_TURNS", 3)
    monkeypatch.setattr(latent_statistics, "SAMPLES", 1000)
    for text, smaller in SMALLER.items():
        example = example.replace(text, smaller)
    alone = example.startswith("verify") and "--checkpoint" not in example  # it draws nothing
    shorter = "" if alone else SHORTER.get(example.split()[0], "")
    words = shlex.split(f"{example} {shorter}")
    result = CliRunner().invoke(cli.app, words)
    assert result.exception is None, (example, result.exception, result.output)
