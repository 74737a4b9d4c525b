"""Options that several commands share, and what makes an option of a help panel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from stylert.commands.official_options import is_checkpoint, tell_next_step
from stylert.runtime.errors import InvalidInput
from stylert.runtime.generator import Generator

__all__ = ["AsJson", "BundleFolder", "Checkpoint", "Device", "Force"]
__all__ += ["PictureQuality", "Precision", "Provider", "Threads", "TrustEngines", "Where"]
__all__ += ["WhereHere", "argue_bundle", "in_checkpoint", "in_output", "in_panel", "in_where"]


def in_panel(title: str) -> Callable[..., Any]:
    """What makes the options of a panel of `--help`.

        in_output = in_panel("Output")
        quality: Annotated[int | None, in_output("JPEG quality; 95 by default.", max=100)] = None

    It takes the help text and the option's names, `read` for a function parse_... that reads the
    text that is given (an `InvalidInput` of it is wrong usage), and what `typer.Option` takes.
    """

    def option(text: str, *names: str, read: Any = None, **settings: Any) -> Any:
        if read is not None:
            metavar = read.__name__.removeprefix("parse_").upper()
            settings = {"parser": _as_parser(read), "metavar": metavar, **settings}
        return typer.Option(*names, help=text, rich_help_panel=title, **settings)

    return option


def _as_parser(read: Callable[[str], Any]) -> Callable[[str], Any]:
    @wraps(read)
    def parse(text: str) -> Any:
        try:
            return read(text)
        except InvalidInput as error:
            raise typer.BadParameter(str(error)) from None

    return parse


def argue_bundle(text: str) -> Any:
    """What makes the argument BUNDLE, with its help text; a checkpoint gets the next step."""
    return typer.Argument(help=text, metavar="BUNDLE", parser=_as_parser(_parse_bundle))


def _parse_bundle(text: str) -> Path:
    if is_checkpoint(text) and not Path(text).is_dir():
        raise InvalidInput(f"{text} is no bundle: {tell_next_step(text)}")
    return Path(text)


in_where = in_panel("Where it runs")
in_output = in_panel("Output")

_FILE = "A StyleGAN .pkl, .pt or .safetensors file, or untrained:stylegan2-256."
BundleFolder = Annotated[Path, argue_bundle("Folder of a bundle.")]
Checkpoint = Annotated[str, typer.Argument(help=_FILE, metavar="CHECKPOINT")]
in_checkpoint = in_panel("Checkpoint")

Provider = Annotated[
    str, in_where("Processor of ONNX Runtime: cpu, cuda, webgpu, or auto: CUDA where it runs.")
]
Precision = Annotated[
    str, in_where("Precision: fp32, fp16, int8, or auto: fp16 on a GPU if it can, never int8.")
]
Threads = Annotated[int | None, in_where("CPU threads; by default all that are usable.", min=1)]

Device = Annotated[
    str | None,
    in_where(
        "Device of OpenVINO: cpu, the default, gpu or npu; gpu.1 is the second GPU. Of WebGPU: "
        "gpu, the default, or software: an adapter that is a program on the CPU."
    ),
]

TrustEngines = Annotated[
    bool,
    in_where("Run engines that you did not build, too: they are programs.", "--trust-engines"),
]

AsJson = Annotated[bool, in_output("Print JSON for machines.", "--json")]
Force = Annotated[bool, in_output("Replace what is already there.", "--force")]
PictureQuality = Annotated[
    int | None, in_output("JPEG and WebP quality, 1 to 100; 95 by default.", min=1, max=100)
]


@dataclass(frozen=True, kw_only=True)
class Where:
    """Where a generator runs: what `Generator.open` takes, on any machine."""

    backend: Annotated[
        str,
        in_where(
            "Backend: onnxruntime, openvino, tensorrt, or auto: an engine that runs, if any, else "
            "what tune found to be faster, else ONNX Runtime."
        ),
    ] = "auto"
    provider: Provider = "auto"
    device: Device = None
    precision: Precision = "auto"
    max_batch: Annotated[int, in_where("Images drawn at a time, at most.", "--batch", min=1)] = 8
    trust_engines: TrustEngines = False


@dataclass(frozen=True, kw_only=True)
class WhereHere(Where):
    """Where a generator runs on this machine."""

    threads: Threads = None

    def open(self, bundle: Path, **others: Any) -> Generator:
        """Open a bundle, with other options in the place of some."""
        return Generator.open(bundle, **{**vars(self), **others})
