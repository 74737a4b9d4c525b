"""What a model repository consists of: configurations, files, and what it was made from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylert.engines.triton import front_model, graph_model
from stylert.engines.triton.configs import (
    GRAPHS,
    configure_ensemble,
    configure_front,
    configure_graph,
)
from stylert.engines.triton.plan_sets import PlanSet, find_plan_sets
from stylert.engines.triton.recipe import Recipe
from stylert.engines.triton.schema import format_message
from stylert.runtime.backends.tensorrt.plans import list_plans
from stylert.runtime.bundle import MANIFEST, Bundle, graph_key, hash_file
from stylert.runtime.errors import EngineError

__all__ = [
    "CONFIG",
    "RECORD",
    "Layout",
    "RepositoryFile",
    "find_plans",
    "make_layout",
    "write_files",
]


CONFIG = "config.pbtxt"
RECORD = "stylert.json"  # in the repository's root, where Triton looks for folders only


@dataclass(frozen=True)
class RepositoryFile:
    """A file that is copied as it is."""

    path: Path  # in the repository
    source: Path
    sha256: str


@dataclass(frozen=True)
class Layout:
    """A repository: `<model>/config.pbtxt`, `<model>/<version>/...`."""

    configs: Mapping[str, Any]  # ModelConfig by the model's name
    files: tuple[RepositoryFile, ...]
    placeholder: Path  # keeps the ensemble's version in stores that know no empty folders


def make_layout(bundle: Bundle, recipe: Recipe) -> Layout:
    """The repository of a recipe.

    Raises:
        EngineError: a plan of the recipe is not in the bundle, or not to be served any more.
        MissingExtra: tritonclient is not installed.
    """
    plans = find_plans(bundle, recipe)
    configs = {
        recipe.name("stylegan"): configure_ensemble(bundle, recipe),
        recipe.name("front"): configure_front(bundle, recipe),
        **{recipe.name(g): configure_graph(bundle, recipe, g, plans) for g in GRAPHS},
    }
    version = str(recipe.version)
    return Layout(
        configs=configs,
        files=tuple(
            RepositoryFile(Path(recipe.name(model), version, name), source, sha256)
            for model in ("front", *GRAPHS)
            for name, source, sha256 in _list_files(bundle, recipe, model, plans)
        ),
        placeholder=Path(recipe.name("stylegan"), version, ".keep"),
    )


def find_plans(bundle: Bundle, recipe: Recipe) -> PlanSet | None:
    """The plans that a recipe names, None if it names none.

    Raises:
        EngineError: one is not in the bundle, or not to be served any more.
    """
    if not recipe.plans:
        return None
    named = [plan for plan in list_plans(bundle) if plan.name in recipe.plans]
    missing = set(recipe.plans) - {plan.name for plan in named}
    sets, reasons = find_plan_sets(bundle, named)
    if missing or len(sets) != 1 or reasons:
        reason = f"{min(missing)} is not in the bundle" if missing else (reasons or ["mixed"])[0]
        raise EngineError(
            f"The plans of this repository are no longer those of {bundle.path}: {reason}. "
            "Write the repository again, with force=True."
        )
    return sets[0]


def _list_files(
    bundle: Bundle, recipe: Recipe, model: str, plans: PlanSet | None
) -> Iterator[tuple[str, Path, str]]:
    """Name in the version's folder, source, and SHA-256 of each file of a model."""
    listed: Mapping[str, Mapping[str, str]] = bundle.manifest["files"]
    if model == "front" or recipe.backend == "python":
        source = Path(str((front_model if model == "front" else graph_model).__file__))
        yield "model.py", source, hash_file(source)
    if model == "front":
        if bundle.noise_inputs:
            yield "noise.npz", bundle.path / "noise.npz", listed["noise.npz"]["sha256"]
    elif plans is not None:
        for plan in {plan.name: plan for plan in plans.select(model).values()}.values():
            yield f"{plan.name}.plan", plan.file(bundle), plan.sha256
    elif recipe.backend == "python" and model == "synthesis":
        manifest = bundle.path / MANIFEST
        yield f"bundle/{MANIFEST}", manifest, hash_file(manifest)
        for name, entry in listed.items():
            yield f"bundle/{name}", bundle.path / name, entry["sha256"]
    else:
        file = bundle.graphs[graph_key(model, recipe.precision)].file
        for name in (file, f"{file}.data"):  # large weights lie beside their graph
            if name in listed:
                yield name, bundle.path / name, listed[name]["sha256"]


def write_files(layout: Layout, record: Mapping[str, Any], folder: Path) -> None:
    """Write a repository.

    Args:
        layout: what it consists of.
        record: what it was made from, for a later check.
        folder: an empty one.

    Raises:
        EngineError: a source is not what its bundle says.
        OSError: the disk is full, or the folder cannot be written.
    """
    for name, config in layout.configs.items():
        (folder / name).mkdir()
        (folder / name / CONFIG).write_text(format_message(config) + "\n", encoding="utf-8")
    for file in layout.files:
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.source, target)
        if hash_file(target) != file.sha256:
            raise EngineError(
                f"{file.source} was changed since it was made: its SHA-256 is another. "
                "Build or export it again."
            )
    (folder / layout.placeholder).parent.mkdir(parents=True)
    (folder / layout.placeholder).touch()
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
