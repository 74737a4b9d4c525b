"""Several processes, each with a generator of its own: for more CPUs or GPUs than one call fills.

A generator cannot go through a fork, so the processes are spawned, and each opens the bundle.

python examples/processes.py BUNDLE --seeds 32 --processes 2
"""

from __future__ import annotations

import argparse
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import stylert

generator: stylert.Generator  # of this process


def open_bundle(path: str) -> None:
    """Open the bundle once in this process; it is closed when the process ends."""
    global generator
    generator = stylert.open(path, threads=1)


def mean_colour(seed: int) -> list[float]:
    """A small result of a large picture: that is quick to send back."""
    mean: list[float] = generator.generate(seed)[0].mean(axis=(0, 1)).round(1).tolist()
    return mean


def main() -> None:
    """Print the mean colour of the seeds 0, 1, 2, ..."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle")
    parser.add_argument("--seeds", type=int, default=32)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        arguments.processes, spawn, initializer=open_bundle, initargs=(arguments.bundle,)
    ) as pool:
        for seed, colour in enumerate(pool.map(mean_colour, range(arguments.seeds), chunksize=4)):
            print(seed, *colour)


if __name__ == "__main__":
    main()
