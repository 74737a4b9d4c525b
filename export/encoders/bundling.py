"""An encoder for a bundle that is there: its graph, what the manifest says of it, and the proof."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from stylert.export.encoders.config import Encoder, EncoderConfig
from stylert.export.encoders.graph import build_encoder_graph
from stylert.export.graph_session import open_file
from stylert.runtime.bundle import ENCODER, Bundle, GraphSpec, hash_file
from stylert.runtime.errors import InvalidInput, ParityError
from stylert.runtime.files.manifest import publish_manifest
from stylert.runtime.files.pictures import resize_picture
from stylert.runtime.files.publishing import publish_file
from stylert.runtime.generator import Generator

__all__ = ["MOST", "PICTURES", "add_encoder"]

MOST = 1e-4  # difference of codes, of their range
PICTURES = 4  # that are compared
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
        ParityError: the graph makes other codes than PyTorch.
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
    with publish_file(file) as partial:
        graph.save(partial)
        parity = _compare(bundle, encoder, partial) if verify else None
        entry = {"bytes": partial.stat().st_size, "sha256": hash_file(partial)}
    # Last, so that a bundle whose power went never lists what it has not.
    facts = _describe(encoder, parity)
    manifest = dict(bundle.manifest)
    tensors = GraphSpec(file.name, graph.inputs, graph.outputs)
    manifest["graphs"] = {**manifest["graphs"], ENCODER: asdict(tensors)}
    manifest["files"] = {**manifest["files"], file.name: entry}
    manifest[ENCODER] = facts
    publish_manifest(bundle.path, manifest)
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


def _describe(encoder: Encoder, parity: dict[str, float] | None) -> dict[str, Any]:
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
        "parity": parity,
    }


def _compare(bundle: Bundle, encoder: Encoder, graph: Path) -> dict[str, float]:
    """How far the codes of some pictures are from PyTorch's."""
    import torch

    from stylert.export.encoders.models import EncoderModel

    feeds = _make_feeds(bundle, encoder.config)
    model = EncoderModel.from_encoder(encoder)
    expected = model(*map(torch.from_numpy, feeds.values())).numpy()
    (made,) = open_file(graph).run(["ws"], feeds)
    difference = float(np.abs(made - expected).max() / max(np.abs(expected).max(), 1e-6))
    if not difference <= MOST:  # nan is not, either
        raise ParityError(
            f"The encoder's graph makes other codes than PyTorch: they differ by {difference:.1e} "
            f"of their range, expected at most {MOST:g}."
        )
    return {"pictures": PICTURES, "difference": difference, "most": MOST}


def _make_feeds(bundle: Bundle, c: EncoderConfig) -> dict[str, np.ndarray]:
    """Pictures of the generator's own, and what an encoder with feedback is fed besides."""
    with Generator.open(
        bundle.path, backend="onnxruntime", provider="cpu", precision="fp32", check_files=False
    ) as generator:
        options: dict[str, Any] = {"class_idx": 0} if bundle.spec.c_dim else {}
        ws = generator.styles(range(PICTURES + 1), **options)
        images = generator.synthesize(ws)
        feeds = {"photo": np.stack([_see(image, c) for image in images[:PICTURES]])}
        if c.feedback:
            feeds["img"] = generator.synthesize(ws[1:], output="img")
            feeds["codes"] = ws[1:]
    return feeds


def _see(image: np.ndarray, c: EncoderConfig) -> np.ndarray:
    """A picture [H, W, C] as the encoder takes it, or a map of as many labels."""
    resized = resize_picture(image[:, :, : 3 if image.shape[2] > 2 else 1], c.height, c.width)
    grey = resized[:, :, :1].transpose(2, 0, 1)
    if c.picture == "labels":
        classes = grey.astype(np.int64) * c.channels // 256
        planes = np.equal(classes, np.arange(c.channels)[:, None, None])
        return planes.astype(np.float32)
    if c.picture == "sketch":
        scaled: np.ndarray = grey.astype(np.float32) / np.float32(255)
        return scaled
    whole = np.broadcast_to(resized, (c.height, c.width, 3)).astype(np.float32)
    return np.ascontiguousarray(whole.transpose(2, 0, 1) / 127.5 - 1)
