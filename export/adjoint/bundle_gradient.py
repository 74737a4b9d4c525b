"""The gradient's graph for a bundle that is there."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from stylert.export.adjoint.gradient import write_gradient
from stylert.runtime.bundle import GRADIENT, Bundle
from stylert.runtime.errors import InvalidInput
from stylert.runtime.files.listed import make_entry
from stylert.runtime.files.manifest import extend_manifest
from stylert.runtime.files.publishing import publish_file

__all__ = ["add_gradient"]


def add_gradient(path: str | Path, *, force: bool = False) -> Path:
    """Add gradient.onnx to a bundle. Its weights are those of synthesis.onnx: they exist once.

    Args:
        path: the bundle's directory.
        force: replace one that is there.

    Returns:
        The file.

    Raises:
        BundleError: no bundle, or a damaged one.
        InvalidInput: it has one already, or its synthesis graph has an operator without adjoint.
        OSError: the disk is full, or the folder cannot be written.
    """
    bundle = Bundle.open(path)
    if GRADIENT in bundle.graphs and not force:
        raise InvalidInput(f"{path} has a gradient already. Pass force=True to replace it.")
    file = bundle.path / f"{GRADIENT}.onnx"
    with publish_file(file) as partial:
        graph = write_gradient(bundle.file("synthesis"), partial)
        files = {file.name: make_entry(partial)}
    graphs = {GRADIENT: asdict(graph)}
    extend_manifest(bundle.path, bundle.manifest, files=files, graphs=graphs)
    return file
