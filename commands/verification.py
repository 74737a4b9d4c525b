"""`stylert verify`: the proof again, of a bundle; and what a data set holds against its record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from stylert.apps.checks.bundle_check import EncoderCheck, check_bundle
from stylert.commands import console, options
from stylert.commands.dataset_check import check_dataset
from stylert.commands.export import (
    COMPARED,
    AllowChaotic,
    ReadAs,
    in_proof,
    need_export,
)
from stylert.commands.idle import refuse_idle
from stylert.commands.options import AsJson, argue_bundle, in_panel, in_where
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import InvalidInput, ParityError
from stylert.runtime.packages import need
from stylert.runtime.proof.bundle_facts import reading_manifest, tell_int8

if TYPE_CHECKING:
    from stylert.export.checkpoints import Checkpoint

__all__ = ["verify"]

in_set = in_panel("Data set")

LAYERS = "Layer by layer, in units of half a layer's range"  # the title of its table


@dataclass(frozen=True, kw_only=True)
class ProvenOn:
    """What draws the pictures that are proven: by default ONNX Runtime on the CPU."""

    backend: Annotated[
        str | None, in_where("Backend to prove: onnxruntime, the default, or openvino.")
    ] = None
    provider: Annotated[
        str | None, in_where("Processor of ONNX Runtime: cpu, the default, cuda, webgpu, or auto.")
    ] = None
    device: options.Device = None
    precision: Annotated[
        str | None, in_where("Precision: fp32 or fp16; by default all that the bundle has.")
    ] = None
    threads: options.Threads = None

    def list_named(self) -> dict[str, str]:
        """What was said of it, but for the threads."""
        said = {key: value for key, value in vars(self).items() if key != "threads"}
        return {key: value for key, value in said.items() if value is not None}

    def to_options(self) -> dict[str, Any]:
        """What `Generator.open` takes.

        Raises:
            InvalidInput: an engine, or whatever comes first, is to draw.
        """
        backend = self.backend or "onnxruntime"
        if backend not in ("onnxruntime", "openvino"):
            raise InvalidInput(
                f"backend: got {backend!r:.40}, expected 'onnxruntime' or 'openvino'. To prove an "
                "engine: verify BUNDLE --engine"
            )
        chosen = {
            "backend": backend,
            "provider": "auto" if backend == "openvino" else "cpu",
            "precision": "auto",
            "threads": self.threads,
        }
        return chosen | self.list_named()


def verify(
    path: Annotated[Path, argue_bundle("Folder of a bundle; or a data set, folder or zip file.")],
    *,
    checkpoint: Annotated[str | None, in_proof("Checkpoint to compare with, in PyTorch.")] = None,
    read_as: ReadAs,
    encoder: Annotated[
        Path | None, in_proof("File of its encoder, to compare encoder.onnx with in PyTorch.")
    ] = None,
    seeds: Annotated[int | None, in_proof(COMPARED, min=1)] = None,
    engine: Annotated[
        bool, in_proof("Prove what an engine draws on this GPU, the best one.", "--engine")
    ] = False,
    plan: Annotated[
        str | None, in_proof("The same of the engine of this name; see build-engine.")
    ] = None,
    layers: Annotated[
        bool, in_proof("Compare layer by layer, too, and name the first that drifts.", "--layers")
    ] = False,
    allow_chaotic: AllowChaotic = False,
    where: ProvenOn,
    repair: Annotated[
        Path | None, in_set("Bundle of the data set, to draw again what is damaged or missing.")
    ] = None,
    ws: Annotated[Path | None, in_set("File of ws that the data set was drawn of.")] = None,
    trust_engines: options.TrustEngines = False,
    as_json: AsJson = False,
) -> None:
    """Check a bundle's files; with its checkpoint, compare the pictures with PyTorch again.

    An engine is compared with the float32 graph that the export compared with PyTorch.

    Of a data set, every image is compared with what was recorded when it was written.

    Example: stylert verify ffhq-bundle --checkpoint ffhq.pkl

    Example: stylert verify ffhq-bundle --checkpoint ffhq.pkl --layers

    Example: stylert verify ffhq-bundle --checkpoint ffhq.pkl --backend openvino

    Example: stylert verify ffhq-bundle --encoder ffhq-encoder.safetensors

    Example: stylert verify images --repair ffhq-bundle
    """
    from stylert.apps.datasets import holds_dataset

    of_bundle: dict[str, Any] = {"checkpoint": checkpoint, "encoder": encoder, "seeds": seeds}
    of_bundle |= {"allow_chaotic": allow_chaotic}
    of_bundle |= where.list_named() | {"engine": engine, "plan": plan, "layers": layers}
    engine = engine or plan is not None
    of_dataset = {"repair": repair, "ws": ws, "trust_engines": trust_engines and not engine}
    is_dataset = holds_dataset(path)
    for name, value in (of_bundle if is_dataset else of_dataset).items():
        if value:
            kind = "a data set" if is_dataset else "no data set"
            raise InvalidInput(f"{name}: got one for {path}, which is {kind}")
    if is_dataset:
        read_as.refuse_any("data sets have no networks")
        return check_dataset(
            path, repair, ws, threads=where.threads, trust_engines=trust_engines, as_json=as_json
        )
    if checkpoint is None:
        read_as.refuse_any("it goes with --checkpoint")
        for name in where.list_named() if engine or layers or encoder else ():
            raise InvalidInput(f"{name}: got one without a checkpoint, with which it goes here")
        if not engine:
            refuse_idle("without --checkpoint or --engine, which it belongs to", seeds=seeds)
        refuse_idle(
            "without --checkpoint, which it belongs to", allow_chaotic=allow_chaotic or None
        )
    if not (checkpoint or engine or layers or encoder):
        return _check_files(path, where, as_json=as_json)
    model, threads = None, where.threads
    proofs: dict[str, Proof] = {}
    if checkpoint is not None:
        need_export()
        model = read_as.read(checkpoint)
        proofs["parity"] = _compare_with_pytorch(
            path, model, seeds, allow_chaotic=allow_chaotic, **where.to_options()
        )
        if not where.list_named() and (int8 := _check_int8(path, threads)) is not None:
            proofs["int8"] = int8
    if encoder is not None:
        proofs["encoder"] = _check_encoder(path, encoder)
    if engine:
        proofs["engine"] = _check_engine(path, plan, seeds, trust_engines, threads)
    if layers:
        engines = proofs["engine"].report.plans if engine else ()
        proofs["layers"] = _compare_layers(path, model, engines, threads)
    if as_json:
        console.print_json({name: proof.report.to_json() for name, proof in proofs.items()})
    failures = [proof.error for proof in proofs.values() if proof.error is not None]
    for proof in proofs.values():
        if not as_json and getattr(proof.error, "report", None) is None:  # it is told with it
            console.print_table(proof.report.make_table(), title=proof.title)
            for line in proof.lines:
                console.say(line)
    if failures:
        raise failures[0]
    return None


@dataclass(frozen=True)
class Proof:
    """One of the things that `verify` was asked for."""

    title: str  # of its table
    report: Any  # with `make_table` and `to_json`
    error: ParityError | None = None  # if it failed
    lines: Sequence[str] = ()  # below the table


def _compare_with_pytorch(
    path: Path, checkpoint: Checkpoint, seeds: int | None, **settings: Any
) -> Proof:
    from stylert.export.parity import make_parity_error
    from stylert.export.verification import verify_bundle

    with console.show_progress() as progress:
        report = verify_bundle(
            path,
            checkpoint,
            seeds=None if seeds is None else range(seeds),
            progress=partial(progress, "comparing with PyTorch"),
            say=console.warn,
            **settings,
        )
    for line in report.notes:
        console.warn(line)
    error = None if report.passed else make_parity_error(report)
    return Proof(console.PARITY, report, error, [f"Drawn by {line}." for line in report.drawn_by])


def _check_encoder(path: Path, file: Path) -> Proof:
    need_export()
    from stylert.export.encoders.parity import check_encoder
    from stylert.export.encoders.reader import read_encoder

    encoder = read_encoder(file)
    with console.err.status("comparing the encoder with PyTorch"):
        check = check_encoder(path, encoder)
    for line in check.notes:
        console.warn(line)
    return Proof(
        "Encoder against PyTorch in float32", check, None if check.passed else check.make_error()
    )


def _check_int8(path: Path, threads: int | None) -> Proof | None:
    from stylert.export.int8.checking import check_int8

    with console.show_progress() as progress:
        check = check_int8(path, threads=threads, progress=partial(progress, "measuring INT8"))
    if check is None:
        return None
    return Proof("INT8 against float32", check, None if check.passed else check.make_error())


def _check_engine(
    path: Path, plan: str | None, seeds: int | None, trust_engines: bool, threads: int | None
) -> Proof:
    from stylert.engines.verification import PICTURES, check_engine

    with console.show_progress() as progress:
        check = check_engine(
            path,
            plan=plan,
            seeds=range(PICTURES if seeds is None else seeds),
            trust_engines=trust_engines,
            threads=threads,
            progress=partial(progress, "comparing the engine"),
        )
    title = f"{check.plans[-1]} ({check.where}) against the float32 graph on the processor"
    return Proof(title, check, None if check.passed else check.make_error())


def _compare_layers(
    path: Path, checkpoint: Checkpoint | None, plans: tuple[str, ...], threads: int | None
) -> Proof:
    need_export()
    need("polygraphy", extra="rtx")
    from stylert.engines.layer_runner import find_layer_engines
    from stylert.export.verification import compare_bundle_layers

    engines = find_layer_engines(Bundle.open(path, check_files=False), plans)
    with console.err.status("comparing layer by layer"):
        report = compare_bundle_layers(path, checkpoint, threads=threads, engines=engines)
    return Proof(LAYERS, report, lines=report.tell())


def _tell_encoder(check: EncoderCheck) -> None:
    """What its encoder proved without its file, a line each."""
    console.say(
        "Codes that the encoder finds together and alone differ by "
        f"{check.batch_difference:.1g} of their range at most."
    )
    when = "They were not compared with PyTorch when it was added."
    if check.difference_at_export is not None:
        when = f"Compared with PyTorch when it was added: {check.difference_at_export:.1g}."
    console.say(f"{when} Compare again: add --encoder FILE")


def _check_files(bundle: Path, where: ProvenOn, *, as_json: bool) -> None:
    check = check_bundle(bundle, **where.to_options())
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
        if check.encoder is not None:
            _tell_encoder(check.encoder)
        if check.int8 is not None:
            with reading_manifest(bundle):
                told = dict(tell_int8(check.int8))["pictures in INT8"]
            console.say(f"INT8, as it was measured when it was made: {told}.")
    if failures := check.failures():
        raise ParityError(failures[0])
