"""How many machines, hours and how much money many images take, from a measured pace.

It is arithmetic on stated assumptions, not a forecast: `Sizing.assumptions` says what they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stylert.apps.bench.report import BenchResult, Row
from stylert.apps.datasets import DatasetJob, Seeds
from stylert.runtime import Generator
from stylert.runtime.arguments import check_integer, shown
from stylert.runtime.errors import InvalidInput
from stylert.runtime.images import encode_image
from stylert.runtime.sizes import size_text

__all__ = ["FleetSize", "Pace", "Sizing", "image_bytes_of", "pace_of"]

MOST_MACHINES = 100_000
LINE_BYTES = 260  # of an image in the manifest; the same again beside it in its shard
SHOWN = 8  # rows of the table


@dataclass(frozen=True)
class Pace:
    """What one machine was measured to do: one session, in full batches."""

    candidate: str
    batch: int
    images_per_second: float
    startup_seconds: float | None = None  # of a process, to its first images


@dataclass(frozen=True)
class FleetSize:
    """So many machines, and what they take for all images."""

    machines: int
    hours: float  # from the start of the first machine to the last image
    machine_hours: float  # that are paid for
    cost: float | None  # None = no price was given


@dataclass(frozen=True, kw_only=True)
class Sizing:
    """The size of a job, for any number of machines like the one that was measured.

        sizing = Sizing(images=1_000_000, pace=pace_of(result), price=1.2, hours=8)
        print(sizing.fitting, list(sizing.assumptions()))

    Raises:
        InvalidInput: a number out of range.
    """

    images: int
    pace: Pace
    price: float | None = None  # of a machine for an hour, in any currency
    hours: float | None = None  # in which all is to be done
    share: float = 0.9  # of the pace that is left when images are encoded, hashed and written
    boot_seconds: float = 300.0  # of a machine, and the copy of the bundle
    build_seconds: float = 0.0  # of TensorRT engines, where each machine has to build them
    image_bytes: int | None = None  # of an image's file
    shard_size: int = 1000  # images that one machine draws alone

    def __post_init__(self) -> None:
        check_integer("images", self.images, 1)
        check_integer("shard_size", self.shard_size, 1)
        for name in ("price", "hours", "share", "boot_seconds", "build_seconds"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise InvalidInput(f"{name}: got {shown(value)}, expected a number from 0 on.")
        for name, value in (
            ("images_per_second", self.pace.images_per_second),
            ("share", self.share),
            ("hours", self.hours),
        ):
            if value is not None and not value > 0:
                raise InvalidInput(f"{name}: got {shown(value)}, expected more than 0.")

    @property
    def shards(self) -> int:
        """Parts of the job that machines take one by one; more machines than these are idle."""
        return -(-self.images // self.shard_size)

    @property
    def start_seconds(self) -> float:
        """Seconds from the start of a machine to its first image."""
        return self.boot_seconds + self.build_seconds + (self.pace.startup_seconds or 0.0)

    def on(self, machines: int) -> FleetSize:
        """What a number of machines takes. The last shards keep some of them, while others wait."""
        most_images = -(-self.shards // machines) * self.shard_size
        rate = self.pace.images_per_second * self.share
        seconds = self.start_seconds + min(most_images, self.images) / rate
        # Those that are done are given back.
        paid = (machines * self.start_seconds + self.images / rate) / 3600
        cost = None if self.price is None else paid * self.price
        return FleetSize(machines, seconds / 3600, paid, cost)

    @property
    def fitting(self) -> FleetSize | None:
        """The fewest machines that are done in time: one without a limit, None if none are."""
        if self.hours is None:
            return self.on(1)
        most = min(self.shards, MOST_MACHINES)
        if self.on(most).hours > self.hours:
            return None
        low, high = 1, most  # more machines never take longer
        while low < high:
            middle = (low + high) // 2
            if self.on(middle).hours <= self.hours:
                high = middle
            else:
                low = middle + 1
        return self.on(low)

    def table(self) -> tuple[FleetSize, ...]:
        """Machines by powers of two, and those that fit."""
        counts = {2**power for power in range(SHOWN) if 2**power <= self.shards}
        if self.fitting is not None:
            counts.add(self.fitting.machines)
        return tuple(self.on(machines) for machines in sorted(counts))

    def assumptions(self) -> Iterator[str]:
        """What the numbers rest on, a line each."""
        pace = self.pace
        yield (
            f"A machine is as the one measured, with one session: {pace.candidate}, batch "
            f"{pace.batch}, {pace.images_per_second:.4g} images/s."
        )
        yield f"Encoding, hashing and writing leave {self.share:.0%} of that pace."
        built = f", engines in {self.build_seconds:g} s" if self.build_seconds else ""
        yield (
            f"A machine draws its first image after {self.start_seconds:.0f} s: it boots and gets "
            f"the bundle in {self.boot_seconds:g} s{built}, and opens a session."
        )
        yield (
            f"A shard of {self.shard_size} images is drawn by one machine; machines that find none "
            "left are given back, and paid for by the second."
        )
        if self.image_bytes is not None:
            data = size_text(self.images * self.image_bytes)
            lines = size_text(self.images * LINE_BYTES)
            each = size_text(self.image_bytes)
            yield f"Storage: {data} of images ({each} each), {lines} of manifest."
        yield "Not in it: storage and its traffic, and machines that are taken away."

    def texts(self) -> list[dict[str, str]]:
        """The table as texts, by heading."""
        return [
            {
                "machines": str(row.machines) + (" (enough)" if row == self.fitting else ""),
                "done in": _duration(row.hours),
                "machine hours": f"{row.machine_hours:,.1f}",
                "cost": "-" if row.cost is None else f"{row.cost:,.2f}",
            }
            for row in self.table()
        ]

    def told(self) -> Iterator[str]:
        """What follows, and what it rests on, a line each."""
        if self.hours is not None and self.fitting is None:
            yield (
                f"No number of machines is done in {self.hours:g} h: make shards smaller, or the "
                "start of a machine shorter."
            )
        yield from self.assumptions()

    def to_json(self) -> dict[str, Any]:
        """The sizing as plain JSON types."""
        return {
            **asdict(self),
            "fitting": None if self.fitting is None else asdict(self.fitting),
            "table": [asdict(row) for row in self.table()],
            "assumptions": list(self.assumptions()),
        }


def pace_of(result: BenchResult) -> Pace:
    """The fastest that a benchmark measured of a backend that draws from bundles.

    Raises:
        InvalidInput: it measured none.
    """
    rows = [row for row in result.rows() if not row.candidate.startswith("torch")]
    if not rows:
        raise InvalidInput("The benchmark has no backend that draws from bundles, only PyTorch.")
    best: Row = max(rows, key=lambda row: row.images_per_second)
    return Pace(best.candidate, best.batch, best.images_per_second, best.startup_seconds)


def image_bytes_of(bundle: str | Path, *, images: int = 4) -> int:
    """Draw some images, and give the mean size of their files as PNG, as data sets have them.

    Raises:
        BundleError, MissingExtra, EngineError: see `Generator.open`.
    """
    with Generator.open(bundle, max_batch=images) as generator:
        job = DatasetJob(seeds=Seeds.of(range(images))).for_generator(
            generator.spec, generator.classes
        )
        drawn = generator.generate(**job.make_arguments(range(images)))
    sizes = [len(encode_image(image, **job.encoding)) for image in drawn]
    return round(sum(sizes) / len(sizes))


def _duration(hours: float) -> str:
    if hours < 2:
        return f"{hours * 60:.0f} min"
    return f"{hours:.1f} h" if hours < 100 else f"{hours / 24:.0f} days"
