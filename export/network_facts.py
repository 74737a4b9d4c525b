"""What a bundle or a checkpoint holds: as plain JSON types, and as rows for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stylert.export.checkpoints import Checkpoint, Config
from stylert.export.checkpoints.families.configs import config_from_json
from stylert.runtime.bundle import Bundle
from stylert.runtime.bundle_facts import reading_manifest, tell_half
from stylert.runtime.control.layers import layer_groups
from stylert.runtime.sizes import size_text

__all__ = ["facts_of_bundle", "facts_of_checkpoint", "rows_of"]


def facts_of_bundle(path: str | Path) -> dict[str, Any]:
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


def facts_of_checkpoint(checkpoint: Checkpoint) -> dict[str, Any]:
    """What the manifest of its bundle would say of a checkpoint."""
    return {
        "family": checkpoint.family,
        "config": checkpoint.config.to_json(),
        "statistics": {
            "parameters": checkpoint.num_parameters,
            "multiply_adds": checkpoint.config.multiply_adds(),
            "noise_strength": checkpoint.noise_strength,
        },
        "provenance": {
            "source": dict(vars(checkpoint.source)),
            "notes": list(checkpoint.notes),
        },
    }


def rows_of(path: str | Path, facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Facts for people: what each is, and its value.

    Args:
        path: where they are from, for the message.
        facts: from `facts_of_bundle` or `facts_of_checkpoint`.

    Raises:
        BundleError: the manifest is damaged.
    """
    with reading_manifest(path):
        config = config_from_json(facts["family"], facts["config"])
        return [
            *config.summary().items(),
            *_style_rows(config, facts.get("directions", ())),
            *_work_rows(facts),
            *_file_rows(facts),
        ]


def _style_rows(config: Config, directions: Sequence[Any]) -> Iterator[tuple[str, str]]:
    """How the picture can be controlled."""
    groups = layer_groups(config.family, config.num_ws)
    named = [name for name in ("coarse", "middle", "fine") if groups[name]]
    yield "layers of ws", ", ".join(f"{name} {_indices(groups[name])}" for name in named)
    psi, cutoff = config.truncation_psi, config.truncation_cutoff
    of = "all layers" if cutoff is None else f"layers {_indices(groups['all'][:cutoff])}"
    yield "default truncation", "none (psi 1)" if psi == 1 else f"psi {psi:g} in {of}"
    if config.has_transform:
        yield "motion", "translate and rotate"
    for s in directions:
        last = s["count"] - 1
        yield f"directions {s['name']}_0 to _{last}", f"for layers {_indices(s['layers'])}"


def _indices(layers: Sequence[int]) -> str:
    """'0-7', or '0,2,5' where they do not follow each other."""
    if len(layers) > 1 and list(layers) == list(range(layers[0], layers[-1] + 1)):
        return f"{layers[0]}-{layers[-1]}"
    return ",".join(map(str, layers))


def _work_rows(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """How it computes, and how much."""
    if "half" in facts:
        yield "half-precision graph", ", ".join(facts["half"]["half_blocks"]) or "none"
        if kept := facts["half"]["kept_fp32"]:
            yield "kept in float32", ", ".join(kept) + " (could overflow)"
        if note := tell_half(facts["half"]):
            yield "moved to float32", note
    yield "parameters", f"{facts['statistics']['parameters']:,}"
    for name, count in facts["statistics"]["multiply_adds"].items():
        yield f"multiply-adds, {name}", f"{count:,} per image"


def _file_rows(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Where it came from, and what is on the disk."""
    source = facts["provenance"]["source"]
    yield "source", f"{source['file']} ({size_text(source['bytes'])}), {source['format']}"
    yield "network of the file", source["network"]
    yield "SHA-256", source["sha256"]
    for note in facts["provenance"]["notes"]:
        yield "note", note
    for name, file in facts.get("files", {}).items():
        yield name, size_text(file["bytes"])
    if "schema" in facts:
        parity = facts.get("parity")
        yield "exported", facts["provenance"]["exported"]
        yield "parity at export", "passed" if parity and parity["passed"] else "not compared"
