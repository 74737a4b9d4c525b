"""`stylert export` and `convert`: from a checkpoint to a bundle, or to a file of weights."""

from __future__ import annotations

import math
import shlex
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.filesize import decimal

from stylert.commands import console, options
from stylert.commands.one_file import ExportedFile
from stylert.commands.options import (
    AsJson,
    Force,
    in_checkpoint,
    in_output,
    in_panel,
)
from stylert.commands.target_files import check_new
from stylert.commands.text.names import parse_names
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import CheckpointError, InvalidInput
from stylert.runtime.packages import need
from stylert.runtime.proof.bundle_facts import tell_int8, tell_weights

if TYPE_CHECKING:
    from stylert.export.checkpoints import Assumptions, Checkpoint
    from stylert.export.encoders.config import Encoder

__all__ = ["COMPARED", "AllowChaotic", "ReadAs", "convert", "export", "in_proof"]
__all__ += ["FLOOR", "in_int8", "need_export", "print_int8"]


in_proof = in_panel("Proof")
in_half = in_panel("Half precision")
in_stored = in_panel("What the bundle holds")
in_int8 = in_panel("8 bits")

FLOOR = 40.0  # dB

COMPARED = "Pictures compared in each scene; by default 32, 16 or 8, by the network's size."
AllowChaotic = Annotated[
    bool,
    in_proof("Accept a network whose float32 is far from float64 in PyTorch.", "--allow-chaotic"),
]


def need_export() -> None:
    """Refuse to go on without the packages that read checkpoints."""
    need("torch", "onnx", "onnx_ir", extra="export")


def parse_clamp(text: str) -> float:
    """A number above 0, or none: no clamp."""
    try:
        return math.inf if text == "none" else float(text)
    except ValueError:
        raise InvalidInput(f"got {text!r}, expected a number above 0, or none") from None


@dataclass(frozen=True, kw_only=True)
class ReadAs:
    """Which network of a checkpoint is read, and what is assumed where a file does not tell."""

    network: Annotated[
        str | None, in_checkpoint("Network of the file, such as G; G_ema by default.")
    ] = None
    conv_clamp: Annotated[
        Any, in_checkpoint("Of a state dict: clamp of the activations, or none.", read=parse_clamp)
    ] = None
    activation: Annotated[
        str | None, in_checkpoint("Of a state dict: lrelu, relu, swish or linear.")
    ] = None
    mapping_lr: Annotated[
        float | None, in_checkpoint("Of a state dict: learning rate of the mapping network.")
    ] = None
    num_fp16_res: Annotated[
        int | None, in_checkpoint("Of a state dict: resolutions that were trained in half.")
    ] = None
    colors: Annotated[
        str | None, in_checkpoint("Of a file of mmgeneration: order of its colours, rgb or bgr.")
    ] = None

    @property
    def assume(self) -> Assumptions:
        """What `read_checkpoint` is to assume."""
        from stylert.export.checkpoints import Assumptions

        return Assumptions(**{k: v for k, v in vars(self).items() if k != "network"})

    def read(self, checkpoint: str, *, tell: bool = True) -> Checkpoint:
        """Read a checkpoint, and tell what is odd about it, unless the caller does."""
        from stylert.export.checkpoints import read_checkpoint

        with console.err.status("reading the checkpoint"):
            model = read_checkpoint(checkpoint, network=self.network, assume=self.assume)
        for line in model.notes if tell else ():
            console.note(line)
        return model

    def refuse_any(self, reason: str) -> None:
        """Refuse these options where there is no checkpoint to read."""
        if said := [name for name, value in vars(self).items() if value is not None]:
            raise typer.BadParameter(f"--{said[0].replace('_', '-')}: {reason}")


def export(
    checkpoint: options.Checkpoint,
    *,
    out: Annotated[
        Path | None, in_output("Folder of the bundle to write.", metavar="BUNDLE")
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
    read_as: ReadAs,
    exported: ExportedFile,
    verify: Annotated[bool, in_proof("Compare with PyTorch, then publish the bundle.")] = True,
    verify_seeds: Annotated[int | None, in_proof(COMPARED, min=1)] = None,
    allow_chaotic: AllowChaotic = False,
    half: Annotated[
        str, in_half("Blocks in half precision: native (as trained), all, none, or b64,b128.")
    ] = "native",
    half_strict: Annotated[
        bool,
        in_half("Fail if half is too far off, instead of using it less.", "--half-strict"),
    ] = False,
    int8: Annotated[bool, in_int8("Add the graph in 8 bits; see quantize.", "--int8")] = False,
    int8_floor: Annotated[
        float | None,
        in_int8("Least PSNR of INT8 pictures in dB, 40 by default: layers stay in float32 for it."),
    ] = None,
    weights: Annotated[
        str, in_stored("Large weights as fp32; int16: half the size; or int8: about a quarter.")
    ] = "fp32",
    weights_floor: Annotated[
        float | None,
        in_stored("PSNR that rounded weights have to reach: by default int16 80 dB, int8 40."),
    ] = None,
    gradient: Annotated[
        bool, in_stored("A graph of gradients, too, as project and inpaint need.", "--gradient")
    ] = False,
    style_space: Annotated[
        bool,
        in_stored("The graphs take offsets of single channels, for edit.", "--style-space"),
    ] = False,
    class_names: Annotated[
        Any,
        in_stored(
            "Names of the classes: a,b,c, or a file with a name a line.",
            "--classes",
            read=parse_names,
        ),
    ] = None,
    encoder: Annotated[
        bool, in_stored("Keep the encoder of a file of pSp, e4e or ReStyle, for invert.")
    ] = True,
) -> None:
    """Turn a checkpoint into a bundle, and prove that it draws the same pictures.

    Example: stylert export ffhq.pkl --out ffhq-bundle
    """
    kept = {
        "--half": half != "native",
        "--half-strict": half_strict,
        "--int8": int8,
        "--gradient": gradient,
        "--style-space": style_space,
        "--classes": class_names is not None,
    }
    if out is None:
        _check_file_alone(exported, kept)
    need_export()
    from stylert.export.bundle_writer import check_target, export_bundle
    from stylert.export.int8.quantisation import check_floor

    if out is not None:
        check_target(out, force=force)
    exported.check(out, force=force)
    proof = {"verify_seeds": verify_seeds is not None, "allow_chaotic": allow_chaotic}
    if not verify and (of_proof := [name for name, given in proof.items() if given]):
        raise InvalidInput(f"{of_proof[0]}: got one with verify=False, which compares nothing")
    if half == "none" and half_strict:
        raise InvalidInput("half_strict: got one with half='none', which has nothing in half")
    if int8_floor is not None and not int8:
        raise InvalidInput("int8_floor: got one without int8=True, which it belongs to")
    floor = (FLOOR if int8_floor is None else int8_floor) if int8 else None
    if floor is not None:
        check_floor(floor)
    model = read_as.read(checkpoint)
    if class_names is not None:
        model = replace(model, class_names=class_names)
    with _keep(out) as folder:
        with console.show_progress() as progress:
            report = export_bundle(
                model,
                folder,
                force=force,
                verify_seeds=verify_seeds if verify else 0,
                half=half if out is not None else "none",
                half_strict=half_strict,
                weights=weights,
                weights_floor=weights_floor,
                gradient=gradient,
                style_space=style_space,
                allow_chaotic=allow_chaotic,
                int8_floor=floor,
                encoder=_find_encoder(checkpoint, model) if encoder and out is not None else None,
                progress=progress,
                say=console.warn,
            )
        exported.write(folder, force=force)
        manifest = Bundle.open(folder, check_files=False).manifest
    facts = manifest.get("int8")
    for line in report.notes if report else ("not compared with PyTorch (--no-verify)",):
        console.warn(line)
    written = [path for path in (out, exported.one_file) if path is not None]
    if as_json:
        told = {"files": [str(path) for path in written], "parity": report and report.to_json()}
        return console.print_json({**told, **({"int8": facts} if int8 else {})})
    if report is not None:
        console.print_table(report.make_table(), title=console.PARITY)
        if weights != "fp32":
            console.say(f"Stored weights are {tell_weights(manifest)}.")
    if facts:
        print_int8(facts)
    for path in written:
        files = [path] if path.is_file() else path.rglob("*")
        size = sum(file.stat().st_size for file in files if file.is_file())
        console.say(f"Wrote {path} ({decimal(size)}).")
    if out is not None:
        console.say(
            f"Draw with: stylert generate {shlex.quote(str(out))} --seeds 0-15 --out images"
        )
    return None


def _check_file_alone(exported: ExportedFile, kept: Mapping[str, bool]) -> None:
    """Refuse an export that would write nothing, and what only a bundle that is kept can have."""
    if exported.one_file is None:
        raise typer.BadParameter("pass --out BUNDLE, --one-file OUT.onnx, or both")
    if said := [name for name, given in kept.items() if given]:
        raise typer.BadParameter(f"{said[0]} goes with --out: one file has none of it")


@contextmanager
def _keep(out: Path | None) -> Iterator[Path]:
    """The folder of the bundle, None = one that is removed again."""
    if out is not None:
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="stylert-export-") as name:
        yield Path(name) / "bundle"


def _find_encoder(file: str, model: Checkpoint) -> Encoder | None:
    """The encoder beside a generator; one that cannot be read is told, and left out."""
    from stylert.export.encoders.reader import find_encoder

    if model.source.network != "decoder":
        return None
    try:
        found = find_encoder(file)
    except CheckpointError as error:
        console.warn(f"The bundle has no encoder. {error}")
        return None
    if found is not None:
        console.note(f"its encoder ({found.config.title}) goes into the bundle, for stylert invert")
    return found


def print_int8(facts: Mapping[str, Any]) -> None:
    """The table of what a manifest says of its INT8 graph."""
    rows = [{"what": what, "value": value} for what, value in tell_int8(facts)]
    console.print_table(rows, title="INT8 against float32", header=False)


Target = typer.Argument(help="File to write: .safetensors, or .npy of latents.", metavar="OUT")


def convert(
    checkpoint: options.Checkpoint,
    target: Annotated[Path, Target],
    *,
    read_as: ReadAs,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Rewrite a checkpoint as one .safetensors file that holds weights only, no code.

    The latents of a projector or an encoder in a .pt file become a .npy file.

    Example: stylert convert ffhq.pkl ffhq.safetensors
    """
    if target.suffix not in (".safetensors", ".npy"):
        raise typer.BadParameter(
            f"{target}: the file's name must end in .safetensors, or .npy for latents"
        )
    if target.suffix == ".npy":
        from stylert.export.latent_file import read_latents, write_latents

        read_as.refuse_any("latents have no networks")
        latents = read_latents(checkpoint)  # what is one already is told so first
        check_new(target, force=force)
        write_latents(latents, target)
    else:
        check_new(target, force=force)
        need("safetensors", extra="export")
        from stylert.export.checkpoints import write_native

        write_native(read_as.read(checkpoint), target, overwrite=force)
    done = f"Wrote {target} ({decimal(target.stat().st_size)})."
    console.tell_result({"files": [str(target)]}, done, as_json=as_json)
