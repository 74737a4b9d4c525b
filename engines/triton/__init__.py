"""Triton Inference Server: from a bundle to a model repository, and the check of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from stylert.engines.triton.checking import Repository, check_repository
from stylert.engines.triton.choice import choose_recipe
from stylert.engines.triton.layout import RECORD, make_layout, write_files
from stylert.engines.triton.recipe import BACKENDS, DEVICES, Recipe
from stylert.runtime.bundle import Bundle
from stylert.runtime.files.publishing import check_folder, publish_folder

__all__ = [
    "BACKENDS",
    "DEVICES",
    "Recipe",
    "Repository",
    "check_repository",
    "write_repository",
]


def write_repository(
    bundle: str | Path,
    out: str | Path,
    *,
    backend: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    tensorrt: str = "",
    max_batch: int | None = None,
    trust_engines: bool = False,
    force: bool = False,
    say: Callable[[str], None] = lambda line: None,
    **tuning: Any,
) -> Repository:
    """Write a model repository for Triton: all of it, or nothing.

    Its ensemble `stylegan` takes a seed or z, and optionally a psi, a class, a noise seed and a
    transform; it gives uint8 images. Steps of it are the models `front`, `mapping`, `synthesis`.

    Args:
        bundle: the bundle's directory.
        out: the repository's directory; a link is followed.
        backend: of Triton: 'tensorrt' (engines of the bundle), 'onnxruntime', 'python' (StyleRT on
            the CPU), or 'auto': TensorRT if the bundle has engines that Triton can serve, else ONNX
            Runtime (`say` tells which, and why).
        device: 'gpu', 'cpu', or 'auto': the GPU, but for the backend 'python'.
        precision: of the synthesis: 'fp16', 'fp32', or 'auto': half on a GPU if the bundle has it.
        tensorrt: version of TensorRT in the server's container, as '10.13'; '' = the newest that
            the bundle has engines of.
        max_batch: images of one launch, None = as many as the engines hold, else 8.
        trust_engines: also copy engines that this user did not build: the server will run them.
        force: replace a repository that is already there.
        say: called with a line on each decision.
        **tuning: the other fields of a `Recipe`: instances, fronts, queue_delay, threads,
            max_inflight, version and prefix.

    Raises:
        InvalidInput: an argument is wrong, or `out` exists.
        BundleError: there is no bundle, or it is damaged.
        EngineError: the bundle has no engines that Triton can serve and this user built or trusts,
            or one was changed.
        MissingExtra: tritonclient is not installed.
        OSError: the disk is full, or the folder cannot be written.
    """
    kind = "Triton repository of StyleRT's"
    check_folder(Path(out), force=force, kind=kind, files=[RECORD])
    opened = Bundle.open(bundle)
    recipe, why = choose_recipe(
        opened,
        backend=backend,
        device=device,
        precision=precision,
        tensorrt=tensorrt,
        max_batch=max_batch,
        trust_engines=trust_engines,
    )
    recipe = replace(recipe, **tuning)
    layout = make_layout(opened, recipe)
    say(f"Backend {why}.")
    repository = Repository(Path(out), opened, recipe, layout)
    with publish_folder(out) as folder:
        write_files(layout, repository.make_record(), folder)
    return repository
