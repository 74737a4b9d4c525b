"""How many kernels an engine of StyleGAN3 launches, of both forms of its graph. No GPU is needed.

Float32 engines of TensorRT-RTX for cards of SM 8.6, 8.9 and 12.0: from `synthesis.gpu.onnx`, as
`build-engine` takes it, and from `synthesis.onnx`, which a bundle without the other one gives.

    python tests/benchmarks/stylegan3_kernels.py docs/results/stylegan3-kernels.json
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import tensorrt_rtx

from stylert.apps.bench.machine import describe_machine
from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import read_checkpoint
from stylert.tests.loading import load_file

HERE = Path(__file__).parent
KERNELS = load_file(HERE / "engine_kernels.py")
GOLDENS = load_file(HERE / "webgpu_goldens.py")
NETWORKS = ("sg3-t-64", "sg3-r-64")
SMS = ("86", "89", "120")


def main(out: Path) -> None:
    """Export, build, count, and write the results."""
    engines = []
    with tempfile.TemporaryDirectory() as folder:
        for network in NETWORKS:
            checkpoint = read_checkpoint(str(GOLDENS.CHECKPOINTS[network]))
            for graph in ("synthesis.gpu", "synthesis"):
                bundle = Path(folder) / f"{network}-{graph}"
                export_bundle(checkpoint, bundle, verify_seeds=0, half="none")
                if graph == "synthesis":
                    GOLDENS._forget_shape_for_gpus(bundle)
                for sm in SMS:
                    counted = KERNELS.count_kernels(bundle, sm=sm, precision="fp32")
                    del counted["layers"]
                    engines.append({"network": network, "graph": graph, "sm": sm, **counted})
                    print(engines[-1], flush=True)
    results = {
        "schema": 1,
        "subject": "kernels of StyleGAN3's synthesis engines: float32, batches 1:4:8, output image",
        "machine": describe_machine(),
        "tensorrt_rtx": tensorrt_rtx.__version__,
        "engines": engines,
    }
    out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
