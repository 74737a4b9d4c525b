"""Checking a model repository against the bundle that it was written from."""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylert.engines.triton.choice import tell_build
from stylert.engines.triton.layout import CONFIG, RECORD, Layout, find_plans, make_layout
from stylert.engines.triton.plan_sets import PORTABLE
from stylert.engines.triton.recipe import Recipe
from stylert.engines.triton.schema import format_message, parse_config
from stylert.runtime.bundle import Bundle, hash_file
from stylert.runtime.errors import BundleError, EngineError, InvalidInput
from stylert.runtime.machine import visible_gpus
from stylert.runtime.packages import installed_version

__all__ = ["Repository", "check_repository"]

_SCHEMA = 1
# What the models must agree on. All else is tuning, which belongs to whoever runs the server.
_CONTRACT = (
    "name",
    "platform",
    "backend",
    "input",
    "output",
    "ensemble_scheduling",
    "default_model_filename",
    "cc_model_filenames",
)


@dataclass(frozen=True)
class Repository:
    """A model repository, written or checked."""

    path: Path
    bundle: Bundle
    recipe: Recipe
    layout: Layout

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models, the ensemble first."""
        return tuple(self.layout.configs)

    def to_json(self) -> dict[str, Any]:
        """The repository as plain JSON types."""
        return {"files": [str(self.path)], "models": list(self.models), **self.make_record()}

    def make_record(self) -> dict[str, Any]:
        """What the repository was made from: the content of its stylert.json."""
        return {
            "schema": _SCHEMA,
            "stylert": installed_version("stylert"),
            "bundle": self.bundle.manifest["sha256"],
            "recipe": self.recipe.to_json(),
        }


def check_repository(bundle: str | Path, repository: str | Path) -> Repository:
    """Check that a repository is whole, of this bundle, and runs on the GPUs of this machine.

    The models' tuning (instances, delays, warm-up, CUDA graphs) is left to who runs the server;
    their tensors, their connections and their files must be those of the bundle.

    Args:
        bundle: the bundle's directory.
        repository: the repository's directory.

    Raises:
        InvalidInput: there is no repository of `write_repository`.
        BundleError: it was changed, is not whole, or is of another bundle; or that is damaged.
        EngineError: its plans are not the bundle's any more, or there is a GPU here that none of
            them runs on.
        MissingExtra: tritonclient is not installed.
    """
    path = Path(repository)
    record = _read_record(path)
    opened = Bundle.open(bundle)
    words = ("stylert", "triton", str(bundle), "--out", str(path), "--force")
    again = f"Write it again: {shlex.join(words)}"
    if record.get("bundle") != opened.manifest["sha256"]:
        raise BundleError(
            f"Repository {path} was written from another export than {bundle}. {again}"
        )
    try:
        recipe = Recipe.from_json(record["recipe"])
        layout = make_layout(opened, recipe)
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"Repository {path}: {RECORD} is damaged ({error}).") from None
    problems = list(_find_problems(path, layout))
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise BundleError(f"Repository {path}: {problems[0]}{more}. {again}")
    _check_gpus(path, opened, recipe)
    return Repository(path, opened, recipe, layout)


def _read_record(path: Path) -> Mapping[str, Any]:
    file = path / RECORD
    if not file.is_file():
        raise InvalidInput(
            f"{path} is no repository of 'stylert triton': it has no {RECORD}. "
            f"Write one: stylert triton BUNDLE --out {shlex.quote(str(path))}"
        )
    try:
        record = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"Repository {path}: cannot read {RECORD} ({error}).") from None
    schema = record.get("schema") if isinstance(record, dict) else None
    if schema != _SCHEMA:
        raise BundleError(
            f"Repository {path}: {RECORD} has schema {schema!r:.40}, expected {_SCHEMA}. "
            "Write the repository again, or upgrade StyleRT."
        )
    return dict(record)


def _find_problems(path: Path, layout: Layout) -> Iterator[str]:
    batches = {}
    for name, expected in layout.configs.items():
        try:
            config = _read_config(path, name)
        except BundleError as error:
            yield str(error)
            continue
        yield from _find_config_problems(f"{name}/{CONFIG}", config, expected)
        batches[name] = config.max_batch_size
    ensemble = next(iter(layout.configs))
    for name, batch in batches.items():
        if batch < batches.get(ensemble, 0):
            yield (
                f"{name}/{CONFIG} has max_batch_size {batch}, expected at least the "
                f"{batches[ensemble]} of {ensemble}"
            )
    for file in layout.files:
        if not (path / file.path).is_file():
            yield f"{file.path} is missing"
        elif hash_file(path / file.path) != file.sha256:
            yield f"{file.path} is not what this bundle and this StyleRT give"
    if not (path / layout.placeholder).parent.is_dir():
        yield f"{layout.placeholder.parent} is missing"


def _read_config(path: Path, model: str) -> Any:
    try:
        return parse_config((path / model / CONFIG).read_text(encoding="utf-8"))
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BundleError(f"{model}/{CONFIG} cannot be read ({reason})") from None
    except InvalidInput as error:
        raise BundleError(f"{model}/{CONFIG} is no configuration of Triton ({error})") from None


def _find_config_problems(name: str, config: Any, expected: Any) -> Iterator[str]:
    if not 1 <= config.max_batch_size <= expected.max_batch_size:
        yield (
            f"{name} has max_batch_size {config.max_batch_size}, expected 1 to "
            f"{expected.max_batch_size}"
        )
    for field in _CONTRACT:
        got, wanted = _show_field(config, field), _show_field(expected, field)
        if got != wanted:
            part = _find_parting(got, wanted)
            yield f"{name} has {field} '{got[part]}', expected '{wanted[part]}'"


def _show_field(config: Any, field: str) -> str:
    """One field of a configuration, in one line."""
    alone = type(config)()
    alone.CopyFrom(config)
    for other in config.DESCRIPTOR.fields:
        if other.name != field:
            alone.ClearField(other.name)
    if field == "ensemble_scheduling":
        alone.ensemble_scheduling.ClearField("max_inflight_requests")
    return format_message(alone, one_line=True)


def _find_parting(got: str, wanted: str) -> slice:
    """Where two texts part, and a little around it."""
    pairs = itertools.zip_longest(got, wanted)
    same = next(i for i, (a, b) in enumerate(pairs) if a != b)
    return slice(max(0, same - 30), same + 30)


def _check_gpus(path: Path, bundle: Bundle, recipe: Recipe) -> None:
    """Refuse a GPU of this machine that no engine runs on."""
    plans = find_plans(bundle, recipe)
    if plans is None:
        return
    for gpu in visible_gpus():
        capability = "{}.{}".format(*gpu.compute_capability)
        portable = PORTABLE in plans.pairs and gpu.compute_capability >= (8, 0)
        if capability not in plans.pairs and not portable:
            raise EngineError(
                f"Repository {path}: its engines are for compute capability "
                f"{', '.join(plans.pairs)}, and the {gpu.name} here has {capability}. Build "
                "engines on this GPU, then write it again: "
                f"{tell_build(bundle, recipe.precision, recipe.max_batch)}"
            )
