"""How many machines, hours and how much money many images take, by what a benchmark timed.

It is arithmetic on stated assumptions: docs/scaling.md, "How many machines", has the formula.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.filesize import decimal

from stylert.apps.bench.report import BenchResult
from stylert.apps.datasets import DatasetJob, Seeds
from stylert.runtime import Generator
from stylert.runtime.arguments import check_integer, shown
from stylert.runtime.errors import InvalidInput
from stylert.runtime.images import encode_image, holds_channels

__all__ = ["Fleet", "Pace", "Sizing", "size_fleets", "size_job"]

SHARE = 0.9  # of the pace that is left when images are encoded, hashed and written
BOOT_SECONDS = 300.0  # of a machine, and the copy of the bundle
SHARD_SIZE = 1000  # images that one machine draws alone
LINE_BYTES = 260  # of an image in the manifest
SHOWN = 8  # rows of the table
DRAWN = 4  # images whose files are measured


@dataclass(frozen=True)
class Pace:
    """What one machine was measured to do: one session, in full batches."""

    candidate: str
    batch: int
    images_per_second: float
    startup_seconds: float | None = None  # of a process, to its first images


@dataclass(frozen=True)
class Fleet:
    """So many machines, and what they take for all images."""

    machines: int
    hours: float  # from the start of the first machine to the last image
    machine_hours: float  # that are paid for: those that are done are given back
    cost: float | None  # None = no price was given


@dataclass(frozen=True)
class Sizing:
    """What many images take on machines like the one that was timed."""

    images: int
    pace: Pace
    image_bytes: int  # of an image's file
    fitting: Fleet | None  # the fewest machines that are done in time, None if none are
    table: tuple[Fleet, ...]  # machines by powers of two, and those that fit

    def to_json(self) -> dict[str, Any]:
        """The sizing as plain JSON types."""
        return asdict(self)

    def texts(self) -> list[dict[str, str]]:
        """The table as texts, by heading."""
        return [
            {
                "machines": str(fleet.machines) + (" (enough)" if fleet == self.fitting else ""),
                "done in": _duration(fleet.hours),
                "machine hours": f"{fleet.machine_hours:,.1f}",
                "cost": "-" if fleet.cost is None else f"{fleet.cost:,.2f}",
            }
            for fleet in self.table
        ]

    def told(self) -> Iterator[str]:
        """What the table rests on, a line each."""
        pace, size = self.pace, self.image_bytes
        start = BOOT_SECONDS + (pace.startup_seconds or 0)
        if self.fitting is None:
            yield (
                f"No number of machines is done in time: each draws its first image after "
                f"{start:.0f} s, and then at least {min(SHARD_SIZE, self.images)} images."
            )
        yield (
            f"As timed: {pace.candidate}, batch {pace.batch}, {pace.images_per_second:.4g} "
            f"images/s, of which {SHARE:.0%} are left beside encoding and writing; a machine draws "
            f"its first image after {start:.0f} s."
        )
        yield (
            f"Storage: {decimal(self.images * size)} of images ({decimal(size)} each), "
            f"{decimal(self.images * LINE_BYTES)} of manifest."
        )


def size_job(
    bundle: str | Path,
    result: BenchResult,
    images: int,
    *,
    price: float | None = None,
    hours: float | None = None,
    class_idx: int | str | None = None,
) -> Sizing:
    """Tell what so many images of a bundle would take, by the fastest of what was timed of it.

    Args:
        bundle: some of its images are drawn, for the size of their files as PNG.
        result: of its benchmark.
        images: how many.
        price: of a machine for an hour, in any currency.
        hours: in which all is to be done.
        class_idx: of all images of a conditional network; None = seed mod c_dim.

    Raises:
        InvalidInput: a number out of range, or only PyTorch was timed.
        BundleError, MissingExtra, EngineError: see `Generator.open`.
    """
    rows = [row for row in result.rows() if not row.candidate.startswith("torch")]
    if not rows:
        raise InvalidInput("The benchmark has no backend that draws from bundles, only PyTorch.")
    best = max(rows, key=lambda row: row.images_per_second)
    pace = Pace(best.candidate, best.batch, best.images_per_second, best.startup_seconds)
    fitting, table = size_fleets(images, pace, price=price, hours=hours)
    return Sizing(images, pace, _measure_image(bundle, class_idx), fitting, table)


def size_fleets(
    images: int, pace: Pace, *, price: float | None = None, hours: float | None = None
) -> tuple[Fleet | None, tuple[Fleet, ...]]:
    """The fewest machines that are done in time, None if none are; and a table of more and fewer.

    Raises:
        InvalidInput: a number out of range.
    """
    check_integer("images", images, 1)
    for name, value in (("price", price), ("hours", hours)):
        if value is not None and not 0 <= value < math.inf:
            raise InvalidInput(f"{name}: got {shown(value)}, expected a number from 0 on.")
    rate = pace.images_per_second * SHARE
    start = BOOT_SECONDS + (pace.startup_seconds or 0)
    shards = math.ceil(images / SHARD_SIZE)

    def size(machines: int) -> Fleet:
        most = min(math.ceil(shards / machines) * SHARD_SIZE, images)  # of one machine
        paid = (machines * start + images / rate) / 3600
        cost = None if price is None else paid * price
        return Fleet(machines, (start + most / rate) / 3600, paid, cost)

    counts = {2**power for power in range(SHOWN) if 2**power <= shards}
    in_time = math.inf if hours is None else (hours * 3600 - start) * rate  # images of one machine
    fewest = 1 if in_time >= images else None
    if fewest is None and in_time >= SHARD_SIZE:
        fewest = math.ceil(shards / (in_time // SHARD_SIZE))
    fitting = None if fewest is None else size(fewest)
    counts |= {fewest} if fewest else set()
    return fitting, tuple(size(machines) for machines in sorted(counts))


def _measure_image(bundle: str | Path, class_idx: int | str | None) -> int:
    """The mean size of the files of some images, as data sets have them."""
    with Generator.open(bundle, backend="onnxruntime", max_batch=DRAWN) as generator:
        fits = holds_channels("PNG", generator.spec.img_channels)
        plain = DatasetJob(
            seeds=Seeds.of(range(DRAWN)),
            image_format="png" if fits else "npy",
            options={"class_idx": class_idx},
        )
        job = plain.for_generator(generator.spec, generator.classes)
        drawn = job.draw(generator, range(DRAWN))
    return round(sum(len(encode_image(image, **job.encoding)) for image in drawn) / DRAWN)


def _duration(hours: float) -> str:
    if hours < 2:
        return f"{hours * 60:.0f} min"
    return f"{hours:.1f} h" if hours < 100 else f"{hours / 24:.0f} days"
