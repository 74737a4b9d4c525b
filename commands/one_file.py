"""`stylert one-file`, and `export --one-file`: a generator as one ONNX file, as tools take it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.filesize import decimal

from stylert.commands import console
from stylert.commands.options import AsJson, BundleFolder, Force, in_output, in_panel
from stylert.commands.target_files import check_new
from stylert.runtime.errors import InvalidInput
from stylert.runtime.packages import need

__all__ = ["ExportedFile", "one_file"]

in_picture = in_panel("Picture")
in_one_file = in_panel("One file")


def one_file(
    bundle: BundleFolder,
    *,
    out: Annotated[Path, in_output("File to write: .onnx.")],
    truncation_psi: Annotated[
        float | None, in_picture("Truncation of all pictures; the network's own by default.")
    ] = None,
    noise_mode: Annotated[
        str, in_picture("Noise of all pictures: const (the network's own), or none.", "--noise")
    ] = "const",
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write a bundle as one graph from z, and labels, to pictures of uint8 [N, C, H, W].

    It is what torch-fidelity reads. Truncation and noise are constants of the file.

    Example: stylert one-file ffhq-bundle --out ffhq.onnx
    """
    need("onnx", extra="export")
    from stylert.export.one_file import write_one_file

    write_one_file(bundle, out, truncation_psi=truncation_psi, noise_mode=noise_mode, force=force)
    done = f"Wrote {out} ({decimal(out.stat().st_size)})."
    console.tell_result({"files": [str(out)]}, done, as_json=as_json)


@dataclass(frozen=True, kw_only=True)
class ExportedFile:
    """The one file that an export writes, with its bundle or in its place."""

    one_file: Annotated[
        Path | None,
        in_one_file("File to write as one-file does, .onnx; without --out the bundle is not kept."),
    ] = None
    truncation_psi: Annotated[
        float | None, in_one_file("Truncation of its pictures; the network's own by default.")
    ] = None
    noise_mode: Annotated[
        str | None, in_one_file("Noise of its pictures: const by default, or none.", "--noise")
    ] = None

    def check(self, bundle: Path | None, *, force: bool) -> None:
        """Refuse what cannot be written, before there is any work done."""
        if self.one_file is None:
            given = {"--truncation-psi": self.truncation_psi, "--noise": self.noise_mode}
            if said := [name for name, value in given.items() if value is not None]:
                raise typer.BadParameter(f"{said[0]} goes with --one-file; a bundle takes any")
            return
        from stylert.export.one_file import check_constants

        if self.one_file.suffix != ".onnx":
            raise InvalidInput(
                f"one_file: got {self.one_file.name}, expected the name of an .onnx file."
            )
        if bundle is not None and bundle.resolve() in self.one_file.resolve().parents:
            raise InvalidInput(
                f"one_file: got {self.one_file}, expected a place outside the bundle {bundle}, "
                "which it is no part of."
            )
        check_new(self.one_file, force=force)
        check_constants(truncation_psi=self.truncation_psi, noise_mode=self.noise_mode or "const")

    def write(self, bundle: Path, *, force: bool) -> None:
        """Write it of a bundle; nothing where none is asked for."""
        if self.one_file is None:
            return
        from stylert.export.one_file import write_one_file

        write_one_file(
            bundle,
            self.one_file,
            truncation_psi=self.truncation_psi,
            noise_mode=self.noise_mode or "const",
            force=force,
        )
