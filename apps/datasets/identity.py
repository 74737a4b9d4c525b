"""job.json: what a data set is made of. Only the same job, bundle and software go on with it.

The bytes of an image depend on all of it: another batch or backend rounds differently, another
Pillow may compress differently. So a difference is refused, and told by its name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylert.apps.datasets.job import DatasetJob
from stylert.runtime.arguments import shown
from stylert.runtime.errors import InvalidInput
from stylert.runtime.packages import installed_version

if TYPE_CHECKING:
    from stylert.runtime import Generator

__all__ = ["check_same_job", "describe_job", "read_job"]

SCHEMA = 1
# Of what `Generator.describe` says, that which decides how images are rounded.
DRAWN_WITH = (
    *("backend", "package", "version", "provider", "gpu", "compute_capability"),
    *("device", "device_name", "precision", "threads", "plans"),
)
SECTIONS = ("settings", "bundle", "drawn_with")
MOST_TOLD = 3
START_OVER = "Pass force=True to start over, or choose another name."


def describe_job(job: DatasetJob, generator: Generator) -> bytes:
    """The content of job.json.

    Args:
        job: with all its defaults filled in, see `DatasetJob.for_generator`.
        generator: what draws it.
    """
    facts = generator.describe()
    description = {
        "schema": SCHEMA,
        "images": len(job.seeds),
        "settings": job.settings(),
        "bundle": {
            "family": generator.bundle.family,
            "sha256": generator.bundle.manifest.get("sha256"),
        },
        "drawn_with": {
            **{name: facts[name] for name in DRAWN_WITH if name in facts},
            "batch": generator.max_batch,
            "stylert": installed_version("stylert"),
            "pillow": installed_version("pillow"),
        },
    }
    return _to_bytes(description)


def read_job(there: bytes, out: Path) -> DatasetJob:
    """The job that a job.json tells of.

    Args:
        there: the job.json.
        out: the data set, for the message.

    Raises:
        InvalidInput: it is damaged.
    """
    try:
        told = json.loads(there)
        job = DatasetJob.from_settings(told["settings"])
        whole = (told["schema"], told["images"]) == (SCHEMA, len(job.seeds))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole or _to_bytes(told) != there:
        raise InvalidInput(f"{out}: its job.json is damaged. The data set has to be drawn again.")
    return job


def check_same_job(there: bytes, now: bytes, out: Path, *, advice: str = START_OVER) -> None:
    """Refuse to go on with another job.

    Args:
        there: the job.json that is there.
        now: what it would be now.
        out: the data set, for the message.
        advice: what to do, for the message.

    Raises:
        InvalidInput: they differ, or the one that is there is damaged.
    """
    if there == now:
        return
    try:
        before, after = dict(_leaves(json.loads(there))), dict(_leaves(json.loads(now)))
    except (ValueError, AttributeError, RecursionError):
        raise InvalidInput(f"{out}: its job.json is damaged. {advice}") from None
    # As text: the order of a psi by layers matters.
    names = [n for n in {**after, **before} if str(before.get(n)) != str(after.get(n))]
    told = [f"{n} {shown(before.get(n))}, now {shown(after.get(n))}" for n in names[:MOST_TOLD]]
    raise InvalidInput(
        f"{out} holds another job: {'; '.join(told) or 'written differently'}. {advice}"
    )


def _leaves(description: Any) -> Iterator[tuple[str, Any]]:
    """What a job.json says, by names that say what it is: 'bundle.sha256', 'seeds'."""
    for section, content in description.items():
        if section not in SECTIONS:
            yield section, content
            continue
        for key, value in content.items():
            yield f"{section}.{key}" if section == "bundle" else key, value


def _to_bytes(description: Any) -> bytes:
    return (json.dumps(description, indent=1) + "\n").encode()
