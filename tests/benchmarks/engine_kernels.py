"""How many kernels an engine launches for a batch of pictures, by kind. No GPU is needed.

TensorRT-RTX's builder tells the layers of what it has built when it is asked for details: each is
one launch, but for those that only compute shapes on the host. Engines are built for SM 8.9, one
profile of the batches 1 to 8, best at 4, with the output `image`.

    python tests/benchmarks/engine_kernels.py docs/results/engine-kernels.json
"""

from __future__ import annotations

import collections
import json
import logging
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import tensorrt_rtx
from typing_extensions import override

from stylert.apps.bench.machine import describe_machine
from stylert.engines import BuildRequest, parse_batches
from stylert.engines.compiler import build_engines
from stylert.engines.tensorrt_rtx import TensorRTRTX
from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import read_checkpoint
from stylert.runtime.bundle import Bundle

NETWORKS = ("stylegan2-256", "stylegan2-1024", "stylegan3-t-256")
POLICIES = ("native", "all")  # which blocks compute in half precision
LAYER = re.compile(r"^Name: (?P<name>.*?), LayerType: (?P<kind>\w+),", re.MULTILINE)
VERBOSE = 5  # the level of what the compiler calls so
ON_THE_HOST = "shape_call"
MOVES = ("reformat", "reorder", "copy")  # in a layer's kind or name: it only moves data


class DetailedRTX(TensorRTRTX):
    """The compiler, asked to tell the layers of the engines."""

    @override
    def configure(self, config: Any, request: BuildRequest) -> None:
        super().configure(config, request)
        config.profiling_verbosity = self.trt.ProfilingVerbosity.DETAILED


class Layers(logging.Handler):
    """Keeps the layers that the log tells: kind and name."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        layers = LAYER.finditer(record.getMessage())
        self.found += [(layer["kind"], layer["name"]) for layer in layers]


def count_kernels(bundle: Path, *, sm: str = "89", precision: str = "fp16") -> dict[str, Any]:
    """Build the synthesis engine of a bundle, and count its kernels."""
    request = BuildRequest(
        Bundle.open(bundle),
        graphs=("synthesis",),
        precision=precision,
        batches=parse_batches("1:4:8"),
        sms=(sm,),
    )
    layers, log = Layers(), logging.getLogger("stylert.tensorrt")
    log.setLevel(VERBOSE)
    log.propagate = False
    log.addHandler(layers)
    try:
        (plan,) = build_engines(DetailedRTX(tensorrt_rtx), request, force=True)
    finally:
        log.removeHandler(layers)
    kinds = collections.Counter(kind for kind, _ in layers.found)
    moves = [name for layer in layers.found for name in layer if name.lower().startswith(MOVES)]
    return {
        "kernels": sum(kinds.values()) - kinds[ON_THE_HOST],
        "kinds": dict(kinds.most_common()),
        "moves": len(moves),
        "build_seconds": plan.build_seconds,
        "plan_bytes": plan.size,
        "graph_bytes": request.find_onnx("synthesis").stat().st_size,
        "layers": [" ".join(layer) for layer in layers.found],
    }


def main(out: Path) -> None:
    """Export, build, count, and write the results."""
    machine, engines = describe_machine(), []
    with tempfile.TemporaryDirectory() as folder:
        for network in NETWORKS:
            checkpoint = read_checkpoint(f"untrained:{network}")
            for policy in POLICIES:
                bundle = Path(folder) / f"{network}-{policy}"
                export_bundle(checkpoint, bundle, verify_seeds=0, half=policy)
                counted = count_kernels(bundle)
                engines.append({"network": network, "half": policy, **counted})
                print({**engines[-1], "layers": "..."}, flush=True)
    results = {
        "schema": 1,
        "subject": "kernels of synthesis engines: SM 8.9, FP16, batches 1:4:8, output image",
        "machine": machine,
        "tensorrt_rtx": tensorrt_rtx.__version__,
        "engines": engines,
    }
    out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
