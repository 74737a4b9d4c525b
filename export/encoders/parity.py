"""The proof of an encoder: the codes of its graph, and what they draw, against PyTorch."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from stylert.export.encoders.config import Encoder, EncoderConfig
from stylert.export.encoders.half import HalfEncoder, choose_half_encoder
from stylert.export.graph_session import open_session
from stylert.runtime.bundle import ENCODER, HALF_ENCODER, Bundle
from stylert.runtime.control.encoder_facts import read_encoder_facts
from stylert.runtime.errors import BundleError, ParityError
from stylert.runtime.files.json_files import keep_finite
from stylert.runtime.files.pictures import resize_picture
from stylert.runtime.generator import Generator
from stylert.runtime.proof.bundle_facts import reading_manifest
from stylert.runtime.proof.parity import (
    CODES,
    TOLERANCES,
    Difference,
    RoundingError,
    compare,
    judge,
)

__all__ = ["PICTURES", "EncoderParity", "check_encoder", "compare_encoder"]

PICTURES = 8  # that are compared: as many as the second gate needs


@dataclass(frozen=True)
class EncoderParity:
    """What was found.

    Attributes:
        codes: largest difference of codes, of their range.
        decoded: of what the generator draws of the codes, both times by the bundle's own graph.
        error: how far PyTorch's float32 is from its float64 there; None = not asked for.
        gate: the gate of the design's proof that the pictures pass, 0 = none.
        half: what may compute in half precision; None = not asked for.
        half_db: PSNR of the worst picture of the bundle's graph in half precision; None = none.
        notes: what a user should know, a line each.
    """

    codes: float
    decoded: Difference
    error: RoundingError | None
    gate: int
    half: HalfEncoder | None = None
    half_db: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether codes and pictures are as close as they have to be."""
        exact = self.codes <= CODES and self.gate > 0  # nan is not, either
        return exact and (self.half_db is None or self.half_db >= TOLERANCES["fp16"].psnr_db)

    def make_table(self) -> list[dict[str, str]]:
        """What was found, as texts for people."""
        rows = [
            ("codes, of their range", f"max |d| {self.codes:.1e}, at most {CODES:g}"),
            (
                f"{PICTURES} pictures of them",
                f"rms {self.decoded.rms:.1e}, max |d| {self.decoded.max_abs:.1e}",
            ),
            ("gate", str(self.gate) if self.gate else "none: failed"),
        ]
        if self.error is not None:
            told = f"rms {self.error.rms:.1e}, max |d| {self.error.max_abs:.1e}"
            rows.append(("PyTorch's float32 from float64", told))
        if self.half_db is not None:
            rows.append(("pictures in half precision", f"{self.half_db:.1f} dB"))
        return [{"what": what, "value": value} for what, value in rows]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types; the manifest holds the same."""
        return {
            "pictures": PICTURES,
            "difference": keep_finite(self.codes),
            "most": CODES,
            "decoded": self.decoded.to_json(),
            "reference_error": None if self.error is None else self.error.to_json(),
            "gate": self.gate,
            "half_db": keep_finite(self.half_db),
            "passed": self.passed,
        }

    def make_error(self) -> ParityError:
        """The error of a graph that failed."""
        if not self.codes <= CODES:
            return ParityError(
                f"The encoder's graph makes other codes than PyTorch: they differ by "
                f"{self.codes:.1e} of their range, expected at most {CODES:g}."
            )
        if self.gate and self.half_db is not None:
            return ParityError(
                f"Pictures of the encoder in half precision are at {self.half_db:.1f} dB, expected "
                f"{TOLERANCES['fp16'].psnr_db:g} dB. Add the encoder again: stylert encoder BUNDLE "
                "FILE --force"
            )
        return ParityError(
            "What the generator draws of the encoder's codes is not what it draws of PyTorch's: "
            f"rms {self.decoded.rms:.1e}, max |d| {self.decoded.max_abs:.1e}, which passes neither "
            "gate of the proof."
        )


def check_encoder(path: str | Path, encoder: Encoder) -> EncoderParity:
    """Compare a bundle's encoder.onnx with the file that it is said to be of.

    Args:
        path: the bundle's directory.
        encoder: what it was made of, or is said to be.

    Returns:
        What was found, which may have failed.

    Raises:
        InvalidInput: the bundle has no encoder.
        BundleError: it is damaged, or its encoder is of another architecture.
    """
    bundle = Bundle.open(path)
    facts = read_encoder_facts(bundle)
    c = encoder.config
    with reading_manifest(path):
        config, source = (dict(bundle.manifest[ENCODER][key]) for key in ("config", "source"))
        file, sha256 = source["file"], source["sha256"]
    expected = json.loads(json.dumps(c.to_json())) | {"title": config.get("title")}
    sees = (facts.channels, facts.height, facts.width, facts.start is not None)
    if config != expected or sees != (c.channels, c.height, c.width, c.feedback):
        raise BundleError(
            f"Bundle {path} has an encoder of {facts.title} for {facts.height}x{facts.width} "
            f"pixels, whose architecture is not that of {encoder.source.file} ({c.title} for "
            f"{c.height}x{c.width}): it was made of another file."
        )
    half = bundle.file(HALF_ENCODER) if HALF_ENCODER in bundle.graphs else None
    found = compare_encoder(bundle, encoder, bundle.file(ENCODER), half_graph=half)
    if sha256 == encoder.source.sha256:
        return found
    note = f"{encoder.source.file} is not the file that the encoder was made of ({file})"
    return replace(found, notes=(note,))


def compare_encoder(
    bundle: Bundle,
    encoder: Encoder,
    graph: Path,
    *,
    half: bool = False,
    half_graph: Path | None = None,
) -> EncoderParity:
    """Compare a graph with PyTorch, on pictures that the bundle's generator draws.

    Args:
        bundle: of the generator.
        encoder: the encoder.
        graph: the graph's file.
        half: also look for what of it may compute in half precision.
        half_graph: also measure this one, where that is written.
    """
    import torch

    from stylert.export.encoders.models import EncoderModel

    with Generator.open(
        bundle.path, backend="onnxruntime", provider="cpu", precision="fp32", check_files=False
    ) as generator:
        feeds = _make_feeds(generator, encoder.config)
        model = EncoderModel.from_encoder(encoder)
        tensors = [torch.from_numpy(array) for array in feeds.values()]
        expected = model(*tensors).numpy()
        (made,) = open_session(graph).run(["ws"], feeds)
        codes = float(np.abs(made - expected).max() / max(np.abs(expected).max(), 1e-6))
        if not codes <= CODES:  # there is nothing to draw, of nan least of all
            return EncoderParity(codes, Difference(np.inf, np.inf, -np.inf, False), None, 0)
        drawn = _draw(generator, expected)
        decoded, error = compare(drawn, _draw(generator, made)), None
        gate = judge(decoded)
        if not gate:
            exact = model.double()(*(tensor.double() for tensor in tensors)).float().numpy()
            error = RoundingError.measure(_draw(generator, exact), drawn)
            gate = judge(decoded, error=error)
        chosen = half_db = None
        if half and gate:
            spec = bundle.spec
            image = (spec.img_channels, spec.img_height, spec.img_width)
            draw = partial(_draw, generator)
            chosen = choose_half_encoder(encoder, image, feeds, expected, draw)
        if half_graph is not None and gate:
            (halves,) = open_session(half_graph).run(["ws"], feeds)
            half_db = compare(drawn, _draw(generator, halves)).psnr_db
    return EncoderParity(codes, decoded, error, gate, chosen, half_db)


def _draw(generator: Generator, ws: np.ndarray) -> np.ndarray:
    return np.asarray(generator.synthesize(ws, output="img"))


def _make_feeds(generator: Generator, c: EncoderConfig) -> dict[str, np.ndarray]:
    """Pictures of the generator's own, and what an encoder with feedback is fed besides."""
    options: dict[str, Any] = {"class_idx": 0} if generator.spec.c_dim else {}
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
