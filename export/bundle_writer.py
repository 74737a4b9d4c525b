"""From a checkpoint to a bundle: write beside, prove it, then move it into place."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from stylert.export.checkpoints import Checkpoint
from stylert.export.families import synthesis_graph
from stylert.export.graphs.emitter import noise_inputs
from stylert.export.graphs.mapping import mapping_graph
from stylert.export.onnx_graph import GraphBuilder
from stylert.export.parity import ParityReport, check_parity, open_precisions
from stylert.export.precision import HalfPlan, plan_half
from stylert.export.sefa import sefa_directions
from stylert.runtime.bundle import (
    HALF,
    MANIFEST,
    SCHEMA,
    GeneratorSpec,
    GraphSpec,
    sealed,
    sha256_of,
)
from stylert.runtime.control.directions import arrays_of
from stylert.runtime.errors import InvalidInput, ParityError

__all__ = ["check_target", "export_bundle", "parity_error"]

Progress = Callable[[str, int, int], None]  # what is going on, steps done, steps in all


def export_bundle(
    checkpoint: Checkpoint,
    out: str | Path,
    *,
    force: bool = False,
    verify_seeds: int = 32,
    half: str = "native",
    graph_options: Mapping[str, Any] = MappingProxyType({}),
    progress: Progress = lambda stage, done, total: None,
) -> ParityReport | None:
    """Write a bundle, check it against the reference, and publish it. All of it, or nothing.

    Args:
        checkpoint: the generator.
        out: the bundle's directory; a link is followed.
        force: replace a bundle that is already there.
        verify_seeds: images compared at each setting, 0 = publish without any check; blocks that
            would have to be measured for half precision stay in float32 then.
        half: blocks that compute in half precision in the second synthesis graph: 'native', 'all',
            'none' (no such graph), or a list such as 'b64,b128'; see `plan_half`.
        graph_options: choices of the family's graph, such as `up_convolution` of StyleGAN2.
        progress: called as the work goes on.

    Returns:
        The parity report, None without a check. It is in the manifest, too.

    Raises:
        InvalidInput: `out` exists, and is no bundle or `force` is not given.
        ParityError: the graphs do not reproduce the reference; its `report` says where.
        OSError: the disk is full, or the folder cannot be written.
    """
    check_target(Path(out), force=force)
    out = Path(os.path.realpath(out))
    with _staging(out) as staging:
        plan = plan_half(
            checkpoint,
            half,
            measure=bool(verify_seeds),  # a float32 bundle needs no measurement
            progress=lambda done, total: progress("measuring activations", done, total),
        )
        with _naming(out):
            files, graphs = _write_graphs(checkpoint, staging, plan, graph_options, progress)
            if checkpoint.config.use_noise:
                files.append(staging / "noise.npz")
                np.savez(files[-1], **noise_inputs(checkpoint))  # type: ignore[arg-type]
            files.append(staging / "directions.npz")
            directions = arrays_of(sefa_directions(checkpoint))
            np.savez(files[-1], **directions)  # type: ignore[arg-type]
        manifest = _manifest(checkpoint, files) | {"graphs": graphs, "half": plan.to_json()}
        report = None
        if verify_seeds:
            with _naming(out):
                _write_manifest(staging, manifest | {"parity": None})
            report = _prove(checkpoint, staging, verify_seeds, progress)
        with _naming(out):
            _write_manifest(staging, manifest | {"parity": report and report.to_json()})
            _publish(staging, out)
    return report


def check_target(out: Path, *, force: bool) -> None:
    """Refuse a target that must not be replaced, before any work is done.

    Raises:
        InvalidInput: it exists, and is no bundle or `force` is not given, or it holds the current
            folder.
    """
    if not out.exists():
        return
    empty = out.is_dir() and not any(out.iterdir())
    # Other programs have a manifest.json, too: a folder with that alone is not ours to replace.
    ours = all((out / name).is_file() for name in (MANIFEST, "mapping.onnx"))
    if not empty and not ours:
        raise InvalidInput(
            f"{out} exists and is no bundle: it is left as it is. Choose another --out."
        )
    if not empty and not force:
        raise InvalidInput(f"{out} exists. Pass --force to replace it, or choose another --out.")
    if Path.cwd().is_relative_to(os.path.realpath(out)):  # a shell in there would stand in nothing
        raise InvalidInput(
            f"{out} is the current folder, or one above it: it cannot be replaced from inside. "
            "Choose another --out."
        )


def _write_graphs(
    checkpoint: Checkpoint,
    staging: Path,
    plan: HalfPlan,
    options: Mapping[str, Any],
    progress: Progress,
) -> tuple[list[Path], dict[str, Any]]:
    """Write the ONNX files; give them, and what the manifest says of them."""
    builders: dict[str, Callable[[], GraphBuilder]] = {
        "mapping": lambda: mapping_graph(checkpoint),
        "synthesis": lambda: synthesis_graph(checkpoint, **options),
    }
    if plan.half_blocks:
        builders[HALF] = lambda: synthesis_graph(
            checkpoint, half_blocks=plan.half_blocks, **options
        )
    files: list[Path] = []
    graphs = {}
    for done, (name, build) in enumerate(builders.items()):
        progress("writing the graphs", done, len(builders))
        graph = build()
        file = f"{name}.onnx"
        files += graph.save(staging / file)
        graphs[name] = GraphSpec(file, graph.inputs, graph.outputs).to_json()
    progress("writing the graphs", len(builders), len(builders))
    return files, graphs


def _prove(checkpoint: Checkpoint, staging: Path, seeds: int, progress: Progress) -> ParityReport:
    with ExitStack() as stack:
        generators = [
            stack.enter_context(generator)
            for generator in open_precisions(staging, backend="onnxruntime", provider="cpu")
        ]
        report = check_parity(
            checkpoint,
            *generators,
            seeds=range(seeds),
            progress=lambda done, total: progress("comparing with PyTorch", done, total),
        )
    if not report.passed:
        raise parity_error(report)
    return report


def parity_error(report: ParityReport) -> ParityError:
    """The error of a report that failed, which it carries as `report`."""
    row = report.worst
    failed = sum(not r.passed for r in report.rows)
    return ParityError(
        f"Parity failed in {failed} of {len(report.rows)} rows. Worst: {row.precision} "
        f"{row.output} at psi {row.truncation_psi}, noise {row.noise_mode}, batch {row.batch}: "
        f"max |d| {row.difference.max_abs:.3g}, PSNR {row.difference.psnr_db:.1f} dB.",
        report=report,
    )


def _manifest(checkpoint: Checkpoint, files: list[Path]) -> dict[str, Any]:
    config = checkpoint.config
    height, width = config.img_shape
    cutoff = config.truncation_cutoff
    spec = GeneratorSpec(
        z_dim=config.z_dim,
        c_dim=config.c_dim,
        w_dim=config.w_dim,
        num_ws=config.num_ws,
        img_channels=config.img_channels,
        img_height=height,
        img_width=width,
        truncation_psi=config.truncation_psi,
        truncation_cutoff=cutoff if cutoff is None else min(cutoff, config.num_ws),
    )
    return {
        "schema": SCHEMA,
        "family": checkpoint.family,
        "config": config.to_json(),
        "generator": spec.to_json(),
        "w_avg": checkpoint.tensors["mapping.w_avg"].tolist(),
        "statistics": {
            "parameters": checkpoint.num_parameters,
            "multiply_adds": config.multiply_adds(),
        },
        "provenance": {
            "source": vars(checkpoint.source),
            "notes": list(checkpoint.notes),
            "exported": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "tools": {name: _version(name) for name in ("stylert", "numpy", "onnx", "torch")},
        },
        "files": {
            file.name: {"bytes": file.stat().st_size, "sha256": sha256_of(file)} for file in files
        },
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _write_manifest(staging: Path, manifest: dict[str, Any]) -> None:
    text = json.dumps(sealed(manifest), indent=1, allow_nan=False) + "\n"
    with (staging / MANIFEST).open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _staging(out: Path) -> Iterator[Path]:
    """A directory beside `out` that is gone afterwards, whatever happens."""
    missing = [folder for folder in out.parents if not folder.exists()]
    staging = out.with_name(f".{out.name}.{os.getpid()}.partial")
    _remove_leftovers(out)
    try:
        with _naming(out):
            staging.mkdir(parents=True)
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        for folder in missing:
            with suppress(OSError):  # it holds the new bundle, or was never made
                folder.rmdir()


def _remove_leftovers(out: Path) -> None:
    """Remove what exports to `out` left beside it when they were killed."""
    made_here = re.compile(re.escape(f".{out.name}.") + r"(\d{1,9})\.(partial|old)")
    with suppress(OSError):  # no such folder, or not ours to read
        for path in out.parent.iterdir():
            match = made_here.fullmatch(path.name)
            if match is None or _is_another_alive(int(match[1])):
                continue
            # Killed in the middle of `_publish`, the old bundle is the only one that there is.
            if match[2] == "partial" or out.exists():
                shutil.rmtree(path, ignore_errors=True)


def _is_another_alive(pid: int) -> bool:
    if pid == os.getpid():  # one that is dead had our number, as in a container
        return False
    if sys.platform == "win32":  # where os.kill(pid, 0) is Ctrl-C
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


@contextmanager
def _naming(out: Path) -> Iterator[None]:
    """Errors of the system name the bundle: no file at all, or one that is gone, helps nobody."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(out)) from error


def _publish(staging: Path, out: Path) -> None:
    """Move the staged bundle into place; an older one stays until the new one is there."""
    if not out.exists():
        staging.rename(out)
        return
    old = out.with_name(f".{out.name}.{os.getpid()}.old")
    try:
        out.rename(old)
        staging.rename(out)
    except BaseException:
        if not out.exists():
            old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)
