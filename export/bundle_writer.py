"""From a checkpoint to a bundle: write beside, prove it, then move it into place."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from stylert.export.bundle_draft import BundleDraft, naming
from stylert.export.checkpoints import Checkpoint
from stylert.export.parity import ParityReport, count_pictures
from stylert.export.precision import plan_half
from stylert.export.proving import prove_bundle
from stylert.runtime.bundle import MANIFEST
from stylert.runtime.errors import InvalidInput

__all__ = ["check_target", "export_bundle"]

Progress = Callable[[str, int, int], None]  # what is going on, steps done, steps in all


def export_bundle(
    checkpoint: Checkpoint,
    out: str | Path,
    *,
    force: bool = False,
    verify_seeds: int | None = None,
    half: str = "native",
    half_strict: bool = False,
    allow_chaotic: bool = False,
    graph_options: Mapping[str, Any] = MappingProxyType({}),
    progress: Progress = lambda stage, done, total: None,
) -> ParityReport | None:
    """Write a bundle, check it against the reference, and publish it. All of it, or nothing.

    Args:
        checkpoint: the generator.
        out: the bundle's directory; a link is followed.
        force: replace a bundle that is already there.
        verify_seeds: pictures compared in each scene, None = 32, 16 or 8, by the network's
            multiply-adds; 0 = publish without any check: blocks that would have to be measured for
            half precision stay in float32 then.
        half: blocks that compute in half precision in the second synthesis graph: 'native', 'all',
            'none' (no such graph), or a list such as 'b64,b128'; see `plan_half`.
        half_strict: where their pictures are too far off, fail; by default blocks are moved to
            float32 until they are not, those that cost most first.
        allow_chaotic: publish a network whose float32 is far from float64 in PyTorch itself, so
            that nothing can be proven.
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
            measure=verify_seeds != 0,  # a float32 bundle needs no measurement
            progress=lambda done, total: progress("measuring activations", done, total),
        )
        draft = BundleDraft(checkpoint, staging, out, plan, graph_options)
        draft.write(progress)
        report = None
        if verify_seeds != 0:
            report = prove_bundle(
                draft,
                seeds=range(verify_seeds or count_pictures(checkpoint.config)),
                half_strict=half_strict,
                allow_chaotic=allow_chaotic,
                progress=progress,
            )
        draft.write_manifest(None if report is None else report.to_json())
        with naming(out):
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
            f"{out} exists and is no bundle: it is left as it is. Choose another name."
        )
    if not empty and not force:
        raise InvalidInput(f"{out} exists. Pass force=True to replace it, or choose another name.")
    if Path.cwd().is_relative_to(os.path.realpath(out)):  # a shell in there would stand in nothing
        raise InvalidInput(
            f"{out} is the current folder, or one above it: it cannot be replaced from inside. "
            "Choose another name."
        )


@contextmanager
def _staging(out: Path) -> Iterator[Path]:
    """A directory beside `out` that is gone afterwards, whatever happens."""
    missing = [folder for folder in out.parents if not folder.exists()]
    staging = out.with_name(f".{out.name}.{os.getpid()}.partial")
    _remove_leftovers(out)
    try:
        with naming(out):
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
