"""A thread pool that shares one generator: each job draws a seed and writes its picture.

While one thread encodes a PNG, another draws. No lock is needed: a `Generator` may be called from
any thread, and a seed gives the same picture in each.

python examples/thread_pool.py BUNDLE --seeds 32 --workers 4 --out pictures
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import stylert
from stylert.runtime.images import save_image


def main() -> None:
    """Draw the seeds 0, 1, 2, ... and write one picture for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--seeds", type=int, default=32, help="how many pictures")
    parser.add_argument("--workers", type=int, default=4, help="threads of the pool")
    parser.add_argument("--out", type=Path, default=Path("pictures"), help="folder")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    # One thread for each drawing: the pool already keeps the CPUs busy.
    with stylert.open(arguments.bundle, threads=1) as generator:

        def draw(seed: int) -> Path:
            path: Path = arguments.out / f"seed{seed:04}.png"
            save_image(generator.generate(seed, truncation_psi=0.7)[0], path)
            return path

        with ThreadPoolExecutor(arguments.workers) as pool:
            for path in pool.map(draw, range(arguments.seeds)):
                print(path)


if __name__ == "__main__":
    main()
