"""What offsets of styles cost: an export with --style-space beside one without, on the processor.

    python tests/benchmarks/style_space.py docs/results/style-space-cpu.json

Untrained StyleGAN2 256 at one thread, the three in turns: processor time of a batch, from ws.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from stylert.apps.bench.machine import describe_machine
from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints.untrained import make_untrained
from stylert.runtime.generator import Generator

NETWORK, BATCHES, TURNS = "stylegan2-256", (1, 4), 12


def main() -> None:
    """Measure, and write the samples."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    checkpoint = make_untrained(NETWORK, seed=0)
    result: dict[str, Any] = {"network": NETWORK, "threads": 1, "machine": describe_machine()}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        generators = {}
        for space in (False, True):
            out = folder / str(space)
            export_bundle(checkpoint, out, verify_seeds=0, half="none", style_space=space)
            opened = Generator.open(out, provider="cpu", threads=1)
            generators[space] = stack.enter_context(opened)
        result["load"] = os.getloadavg()
        result["batches"] = {batch: measure(generators, batch) for batch in BATCHES}
    args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for batch, found in result["batches"].items():
        print(batch, {name: round(ratio, 4) for name, ratio in found["ratios"].items()})


def measure(generators: dict[bool, Generator], batch: int) -> dict[str, Any]:
    """Processor seconds of each way in turns, and the medians of their ratios."""
    ws = generators[True].styles(range(batch))
    offset = np.random.RandomState(0).standard_normal((batch, len(generators[True].style_std)))
    ways: dict[str, Callable[[], Any]] = {
        "without": lambda: generators[False].synthesize(ws),
        "zeros": lambda: generators[True].synthesize(ws),
        "offsets": lambda: generators[True].synthesize(ws, style_offset=0.1 * offset),
    }
    samples: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(TURNS + 1):
        for name, draw in ways.items():
            start = time.process_time()
            draw()
            if turn:  # the first is for warmth
                samples[name].append(time.process_time() - start)
    pairs = {
        name: [a / b for a, b in zip(samples[name], samples["without"], strict=True)]
        for name in ways
    }
    ratios = {name: statistics.median(found) for name, found in pairs.items()}
    return {"ratios": ratios, "seconds": samples}


if __name__ == "__main__":
    main()
