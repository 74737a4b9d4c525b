"""`stylert verify`: the proof again, of a bundle; and what a data set holds against its record."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from stylert.apps.checks.bundle_check import check_bundle
from stylert.commands import console, options
from stylert.commands.dataset_check import check_dataset
from stylert.commands.export import (
    COMPARED,
    PARITY,
    AllowChaotic,
    ReadAs,
    in_proof,
    need_export,
)
from stylert.commands.options import AsJson, argue_bundle, in_panel
from stylert.runtime.errors import InvalidInput, ParityError
from stylert.runtime.packages import need

if TYPE_CHECKING:
    from stylert.export.checkpoints import Checkpoint
    from stylert.export.layers import LayerReport

__all__ = ["verify"]

in_set = in_panel("Data set")

LAYERS = "Layer by layer, in units of half a layer's range"  # the title of its table


def verify(
    path: Annotated[Path, argue_bundle("Folder of a bundle; or a data set, folder or zip file.")],
    *,
    checkpoint: Annotated[str | None, in_proof("Checkpoint to compare with, in PyTorch.")] = None,
    read_as: ReadAs,
    seeds: Annotated[int | None, in_proof(COMPARED, min=1)] = None,
    layers: Annotated[
        bool, in_proof("Compare layer by layer, too, and name the first that drifts.", "--layers")
    ] = False,
    allow_chaotic: AllowChaotic = False,
    provider: options.Provider = "cpu",
    threads: options.Threads = None,
    repair: Annotated[
        Path | None, in_set("Bundle of the data set, to draw again what is damaged or missing.")
    ] = None,
    ws: Annotated[Path | None, in_set("File of ws that the data set was drawn of.")] = None,
    trust_engines: options.TrustEngines = False,
    as_json: AsJson = False,
) -> None:
    """Check a bundle's files; with its checkpoint, compare the pictures with PyTorch again.

    Of a data set, every image is compared with what was recorded when it was written.

    Example: stylert verify ffhq-bundle --checkpoint ffhq.pkl

    Example: stylert verify ffhq-bundle --checkpoint ffhq.pkl --layers

    Example: stylert verify images --repair ffhq-bundle
    """
    from stylert.apps.datasets import holds_dataset

    of_bundle = {"checkpoint": checkpoint, "seeds": seeds, "allow_chaotic": allow_chaotic}
    of_bundle |= {"layers": layers, "provider": provider != "cpu"}
    of_dataset = {"repair": repair, "ws": ws, "trust_engines": trust_engines}
    is_dataset = holds_dataset(path)
    for name, value in (of_bundle if is_dataset else of_dataset).items():
        if value:
            kind = "a data set" if is_dataset else "no data set"
            raise InvalidInput(f"{name}: got one for {path}, which is {kind}")
    if is_dataset:
        read_as.refuse_any("data sets have no networks")
        return check_dataset(
            path, repair, ws, threads=threads, trust_engines=trust_engines, as_json=as_json
        )
    if checkpoint is None:
        read_as.refuse_any("it goes with --checkpoint")
        if layers:
            return _print_layers(_compare_layers(path, None, threads), as_json=as_json)
        return _check_files(path, provider, threads, as_json=as_json)
    need_export()
    from stylert.export.parity import make_parity_error
    from stylert.export.verification import verify_bundle

    model = read_as.read(checkpoint)
    with console.show_progress() as progress:
        report = verify_bundle(
            path,
            model,
            seeds=None if seeds is None else range(seeds),
            allow_chaotic=allow_chaotic,
            provider=provider,
            threads=threads,
            progress=partial(progress, "comparing with PyTorch"),
            say=console.warn,
        )
    for line in report.notes:
        console.warn(line)
    drift = _compare_layers(path, model, threads) if layers else None
    if as_json:
        found = {} if drift is None else {"layers": drift.to_json()}
        console.print_json({"parity": report.to_json(), **found})
    elif drift is not None:
        _print_layers(drift, as_json=False)
    if not report.passed:
        raise make_parity_error(report)  # the table is told with it
    if not as_json:
        console.print_table(report.make_table(), title=PARITY)
    return None


def _compare_layers(path: Path, checkpoint: Checkpoint | None, threads: int | None) -> LayerReport:
    need_export()
    need("polygraphy", extra="rtx")
    from stylert.export.verification import compare_bundle_layers

    with console.err.status("comparing layer by layer"):
        return compare_bundle_layers(path, checkpoint, threads=threads)


def _print_layers(report: LayerReport, *, as_json: bool) -> None:
    if as_json:
        return console.print_json({"layers": report.to_json()})
    console.print_table(report.make_table(), title=LAYERS)
    return console.say("\n".join(report.tell()))


def _check_files(bundle: Path, provider: str, threads: int | None, *, as_json: bool) -> None:
    check = check_bundle(bundle, provider=provider, threads=threads)
    if as_json:
        console.print_json(check.to_json())
    else:
        console.say(f"{bundle}: the files are as they were exported. {check.choice}.")
        for precision, d in check.batch_differences.items():
            how_far = f"{d.max_abs:.1g} at most ({precision})"
            console.say(f"Images drawn together and alone differ by {how_far}.")
        when = "It was not compared with PyTorch at export."
        if check.difference_at_export is not None:
            when = f"Compared with PyTorch at export: max |d| {check.difference_at_export:.1g}."
        console.say(f"{when} Compare again: add --checkpoint FILE")
    if failures := check.failures():
        raise ParityError(failures[0])
