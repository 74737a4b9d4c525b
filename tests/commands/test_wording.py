"""The library's messages in the words of the options."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from stylert import cli
from stylert.commands.wording import put_in_options, renamed
from stylert.runtime.errors import InvalidInput

COMMANDS: Any = typer.main.get_command(cli.app)


@pytest.mark.parametrize(
    ("command", "message", "said"),
    [
        ("generate", "class_idx: got 7, expected 0 to 4.", "--class: got 7, expected 0 to 4."),
        ("project", "resume: the photos are other ones.", "--resume: the photos are other ones."),
        ("project", "resume: a search is over.", "--resume: a search is over."),
        ("project", "resume: cannot read w.npz.", "--resume: cannot read w.npz."),
        ("search", "text: no sample comes near.", "text: no sample comes near."),  # an argument
        (
            "generate",
            "class_idx, labels: got both, expected one. Pass class_idx=0 to 4, or labels [5].",
            "--class, --labels: got both, expected one. Pass --class 0 to 4, or labels [5].",
        ),
        (
            "generate",
            "noise_seed: got one with noise_mode 'const', expected 'seeded'.",
            "--noise-seed: got one with --noise 'const', expected 'seeded'.",
        ),
        (
            "export",
            "b exists. Pass force=True to replace it, or choose another name.",
            "b exists. Pass --force to replace it, or choose another name.",
        ),
        ("export", "verify=False is bold.", "--no-verify is bold."),
        (
            "build-engine",
            "Build with precision='fp32', or use another version.",
            "Build with --precision fp32, or use another version.",
        ),
        (
            "build-engine",
            "TensorRT-RTX: refittable=True needs compiler='tensorrt'; build others.",
            "TensorRT-RTX: --refittable needs --compiler tensorrt; build others.",
        ),
        (
            "generate",
            "which they do not read. Choose another image_format. So, image_format.",
            "which they do not read. Choose another --format. So, --format.",
        ),
        ("generate", "a.image_format and image_format.x", "a.image_format and image_format.x"),
        ("generate", "g holds class_idx None, now 1.", "g holds --class none, now 1."),
        ("generate", "quality: got one, expected None.", "--quality: got one, expected none."),
        ("generate", "'None', None.npy, a/None", "'None', None.npy, a/None"),
        ("generate", "expected PNG. Pass a quality.", "expected PNG. Pass --quality."),
        ("video", "Pass a crf, or pass a folder.", "Pass --crf, or pass a folder."),
        ("build-engine", "sm: got none, as in sm='86,89'.", "--sm: got none, as in --sm 86,89."),
    ],
)
def test_arguments_are_called_as_the_options(command: str, message: str, said: str) -> None:
    assert put_in_options(message, COMMANDS.commands[command].params) == said


def test_an_option_of_another_name_than_its_argument() -> None:
    with pytest.raises(InvalidInput, match=r"^seeds: got 1, keyframes: 2\.$"):  # noqa: SIM117
        with renamed(keyframes="seeds", frames="fps"):
            raise InvalidInput("keyframes: got 1, keyframes: 2.")
    with pytest.raises(InvalidInput, match=r"^keyframes are 1\.$"), renamed(keyframes="seeds"):
        raise InvalidInput("keyframes are 1.")


@pytest.mark.parametrize(
    "message",
    [
        "labels: its job.json is damaged.",  # a folder of that name
        "a/noise_seed.npy: cannot be read.",
        "Cannot read 'class_idx': No such file or directory.",
        "layers=3 of the bundle x/force=True/y",
        "bundle: got 7, expected a folder.",  # an argument on the command line, too
        "keyframes: got 1, expected 2 or more.",
        "Use half='native' where there is such an option.",
    ],
)
def test_what_is_no_option_stays(message: str) -> None:
    assert put_in_options(message, COMMANDS.commands["generate"].params) == message
