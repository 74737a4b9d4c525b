"""An encoder for a bundle that is there: its graph, what the manifest says of it, and the proof."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stylert.export.encoders.config import Encoder
from stylert.export.encoders.graph import build_encoder_graph
from stylert.export.encoders.parity import EncoderParity, compare_encoder
from stylert.runtime.bundle import ENCODER, HALF, HALF_ENCODER, Bundle, GraphSpec
from stylert.runtime.errors import InvalidInput
from stylert.runtime.files.listed import make_entry
from stylert.runtime.files.manifest import extend_manifest
from stylert.runtime.files.publishing import publish_file

__all__ = ["add_encoder"]

_MOST_BYTES = 1_900_000_000  # of the weights: the largest official ones have 1.1


def add_encoder(
    path: str | Path, encoder: Encoder, *, force: bool = False, verify: bool = True
) -> dict[str, Any]:
    """Add encoder.onnx to a bundle, once it makes the codes that PyTorch makes.

    Args:
        path: the bundle's directory.
        encoder: of this bundle's generator, or of one that was fine-tuned from it or into it.
        force: replace one that is there.
        verify: compare it with PyTorch, on pictures that the generator draws.

    Returns:
        What the manifest says of it.

    Raises:
        BundleError: no bundle, or a damaged one.
        InvalidInput: it has an encoder already, or the encoder is of another size of generator.
        ParityError: the graph makes other codes than PyTorch, or codes of other pictures.
        OSError: the disk is full, or the folder cannot be written.
    """
    bundle = Bundle.open(path)
    if ENCODER in bundle.graphs and not force:
        raise InvalidInput(f"{path} has an encoder already. Pass force=True to replace it.")
    _check_fit(bundle, encoder)
    spec = bundle.spec
    image = (spec.img_channels, spec.img_height, spec.img_width)
    graph = build_encoder_graph(encoder, image)
    file = bundle.path / f"{ENCODER}.onnx"
    half_file = bundle.path / f"{HALF_ENCODER}.onnx"
    graphs = {ENCODER: asdict(GraphSpec(file.name, graph.inputs, graph.outputs))}
    with ExitStack() as published:
        partial = published.enter_context(publish_file(file))
        graph.save(partial)
        parity = None
        if verify:
            parity = compare_encoder(bundle, encoder, partial, half=HALF in bundle.graphs)
            if not parity.passed:
                raise parity.make_error()
        entries = {file.name: make_entry(partial)}
        half = None if parity is None else parity.half
        if half is not None and half.blocks:
            partial = published.enter_context(publish_file(half_file))
            graph = build_encoder_graph(encoder, image, half.blocks)
            graph.save(partial)
            entries[half_file.name] = make_entry(partial)
            tensors = GraphSpec(half_file.name, graph.inputs, graph.outputs)
            graphs[HALF_ENCODER] = asdict(tensors)
    facts = _describe(encoder, parity)
    if half is not None:
        facts["half"] = half.to_json()
    manifest = {key: dict(bundle.manifest[key]) for key in ("files", "graphs")}
    manifest["files"].pop(half_file.name, None)
    manifest["graphs"].pop(HALF_ENCODER, None)
    manifest = {**bundle.manifest, **manifest}
    extend_manifest(bundle.path, manifest, files=entries, graphs=graphs, **{ENCODER: facts})
    if HALF_ENCODER not in graphs:  # that of the encoder before
        half_file.unlink(missing_ok=True)
    return facts


def _check_fit(bundle: Bundle, encoder: Encoder) -> None:
    """Refuse an encoder whose codes, or whose pictures, are not this generator's."""
    c, spec = encoder.config, bundle.spec
    if sum(array.nbytes for array in encoder.tensors.values()) > _MOST_BYTES:
        raise InvalidInput("encoder: it has more than 1.9 GB, which one graph cannot hold.")
    if (c.num_ws, c.w_dim) != (spec.num_ws, spec.w_dim):
        raise InvalidInput(
            f"encoder: {encoder.source.file} makes {c.num_ws} codes of {c.w_dim}, but the bundle "
            f"{bundle.path} takes {spec.num_ws} of {spec.w_dim}: it is of another size of "
            "generator. Pass an encoder that was trained with this one."
        )
    if not c.feedback:
        return
    top, bottom = c.rows or (0, spec.img_height)
    sides = ((bottom - top, c.height), (spec.img_width, c.width))
    fits = spec.img_channels == 3 and bottom <= spec.img_height
    if not fits or any(a % b and b % a for a, b in sides):
        raise InvalidInput(
            f"encoder: {encoder.source.file} sees pictures of {c.height}x{c.width} pixels, and "
            f"those of the bundle, {spec.img_height}x{spec.img_width}x{spec.img_channels}, cannot "
            "be brought to that size by whole steps."
        )


def _describe(encoder: Encoder, parity: EncoderParity | None) -> dict[str, Any]:
    c = encoder.config
    start = encoder.average if c.feedback else None
    return {
        "title": c.title,
        "picture": c.picture,
        "passes": c.passes,
        "start": None if start is None else start.tolist(),
        "config": c.to_json(),
        "source": asdict(encoder.source),
        "notes": list(encoder.notes),
        "parity": None if parity is None else parity.to_json(),
    }
