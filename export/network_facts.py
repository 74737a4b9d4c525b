"""What a bundle or a checkpoint holds: as plain JSON types, and as rows for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.filesize import decimal

from stylert.export.checkpoints import Config
from stylert.export.checkpoints.configs import read_config
from stylert.runtime.bundle import Bundle
from stylert.runtime.control.layers import group_layers
from stylert.runtime.proof.bundle_facts import reading_manifest, tell_half, tell_int8, tell_weights

__all__ = ["read_facts", "tell_rows"]

_MOST_NAMES = 20  # of classes, in a row


def read_facts(path: str | Path) -> dict[str, Any]:
    """The manifest of a bundle, and under 'directions' which sets of them it holds.

    Raises:
        BundleError: not a bundle, incomplete, or changed since its export.
    """
    bundle = Bundle.open(path)
    directions = [
        {"name": s.name, "count": len(s.vectors), "layers": s.layers.tolist()}
        for s in bundle.read_directions()
    ]
    return {**bundle.manifest, "directions": directions}


def tell_rows(path: str | Path, facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Facts for people: what each is, and its value.

    Args:
        path: where they are from, for the message.
        facts: from `read_facts` or `Checkpoint.describe`.

    Raises:
        BundleError: the manifest is damaged.
    """
    with reading_manifest(path):
        config = read_config(facts["family"], facts["config"])
        return [
            *config.summarize().items(),
            *_tell_classes(facts.get("classes") or ()),
            *_tell_styles(config, facts.get("directions", ())),
            *_tell_work(facts),
            *_tell_files(facts),
        ]


def _tell_classes(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What the classes are called, where that is known; the first of many."""
    if names:
        more = ", ..." if len(names) > _MOST_NAMES else ""
        yield "names of classes", ", ".join(names[:_MOST_NAMES]) + more


def _tell_styles(config: Config, directions: Sequence[Any]) -> Iterator[tuple[str, str]]:
    """How the picture can be controlled."""
    groups = group_layers(config.family, config.num_ws)
    named = [name for name in ("coarse", "middle", "fine") if groups[name]]
    yield "layers of ws", ", ".join(f"{name} {_tell_indices(groups[name])}" for name in named)
    psi, cutoff = config.truncation_psi, config.truncation_cutoff
    of = "all layers" if cutoff is None else f"layers {_tell_indices(groups['all'][:cutoff])}"
    yield "default truncation", "none (psi 1)" if psi == 1 else f"psi {psi:g} in {of}"
    if config.has_transform:
        yield "motion", "translate and rotate"
    for s in directions:
        last = s["count"] - 1
        yield f"directions {s['name']}_0 to _{last}", f"for layers {_tell_indices(s['layers'])}"


def _tell_indices(layers: Sequence[int]) -> str:
    """'0-7', or '0,2,5' where they do not follow each other."""
    if len(layers) > 1 and list(layers) == list(range(layers[0], layers[-1] + 1)):
        return f"{layers[0]}-{layers[-1]}"
    return ",".join(map(str, layers))


def _tell_work(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """How it computes, and how much."""
    if "half" in facts:
        yield "half-precision graph", ", ".join(facts["half"]["half_blocks"]) or "none"
        if kept := facts["half"]["kept_fp32"]:
            yield "kept in float32", ", ".join(kept) + " (could overflow)"
        if note := tell_half(facts["half"]):
            yield "moved to float32", note
        yield "weights", tell_weights(facts)
    if facts.get("int8"):
        yield from ((f"INT8: {what}", value) for what, value in tell_int8(facts["int8"]))
    yield "parameters", f"{facts['statistics']['parameters']:,}"
    for name, count in facts["statistics"]["multiply_adds"].items():
        yield f"multiply-adds, {name}", f"{count:,} per image"


def _tell_files(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Where it came from, and what is on the disk."""
    source = facts["provenance"]["source"]
    yield "source", f"{source['file']} ({decimal(source['bytes'])}), {source['format']}"
    yield "network of the file", source["network"]
    yield "SHA-256", source["sha256"]
    for note in facts["provenance"]["notes"]:
        yield "note", note
    for name, file in facts.get("files", {}).items():
        yield name, decimal(file["bytes"])
    if "schema" in facts:
        parity = facts.get("parity")
        yield "exported", facts["provenance"]["exported"]
        yield "parity at export", "passed" if parity and parity["passed"] else "not compared"
