"""What lucidrains' package draws, beside what StyleRT draws of the files that it writes.

The package is installed in a virtual environment of its own, which is thrown away. There it makes
networks, one for each kind of layer that it has, gives them random weights where its own start at
zero, saves them as its training does, and draws them. Here each file is read and exported, and the
pictures are compared, float32 in ONNX Runtime. It takes a minute, and needs a package registry.

    python tests/benchmarks/lucidrains_package.py docs/results/lucidrains-package.json

The package asserts at its import that there is a GPU with CUDA, and moves everything there.
Nothing of its mathematics needs one: in that environment alone, PyTorch says that there is one, and
what moves a tensor to it leaves the tensor where it is. Two modules are empty stand-ins, since
nothing of them is used: aim, which logs trainings, and torchvision, which reads their pictures.

With a second argument the files are kept there, in folders by the name of the network.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

PACKAGES = (
    "torch==2.13.0",
    "numpy==2.4.6",
    "pillow",
    "einops==0.8.1",
    "kornia==0.8.1",
    "fire",
    "tqdm",
)
ALONE = ("stylegan2_pytorch==1.9.0", "vector-quantize-pytorch==0.1.0")  # without what they ask for
BOUND = 3e-5  # of the largest difference, on the package's scale of 0 to 1
PSI = 0.75

SMALL = {"latent_dim": 16, "style_depth": 2, "network_capacity": 2}
NETWORKS: dict[str, dict[str, Any]] = {
    "plain": {"image_size": 16, **SMALL},
    "rgba": {"image_size": 16, **SMALL, "transparent": True},
    "no-const": {"image_size": 16, **SMALL, "no_const": True, "style_depth": 3},
    "attention": {"image_size": 16, **SMALL, "no_const": True, "attn_layers": [1, 3]},
    "lr-mlp": {"image_size": 8, **SMALL, "lr_mlp": 0.03, "fq_layers": [1]},
    "wide": {"image_size": 64, "latent_dim": 64, "network_capacity": 4},
}

# Runs in the package's environment, in the folder where the files are to be.
DRAW = """
import json, sys, types
import numpy as np
import torch

torch.cuda.is_available = lambda: True
torch.Tensor.cuda = torch.nn.Module.cuda = lambda self, *arguments, **options: self
for name in ("aim", "torchvision", "torchvision.transforms"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["torchvision"].transforms = sys.modules["torchvision.transforms"]
from stylegan2_pytorch import Trainer

torch.set_num_threads(1)
for name, options in json.loads(sys.argv[1]).items():
    torch.manual_seed(1)
    trainer = Trainer(name=name, base_dir=".", **options)
    trainer.init_GAN()
    gan = trainer.GAN.eval()
    with torch.no_grad():
        for key, tensor in [*gan.S.named_parameters(), *gan.G.named_parameters()]:
            if key.endswith((".bias", ".b", ".g")) or "to_noise" in key:
                tensor += 0.2 * torch.randn_like(tensor)
        gan.reset_parameter_averaging()
        trainer.save(0)
        z = torch.randn(4, gan.G.latent_dim)
        noise = torch.rand(4, trainer.image_size, trainer.image_size, 1)
        w = gan.SE(z)
        w_avg = gan.SE(torch.randn(2000, gan.G.latent_dim)).mean(dim=0, keepdim=True)
        layers = gan.GE.num_layers
        one = (psi := float(sys.argv[2])) * (w - w_avg) + w_avg
        ws = one[:, None].repeat(1, layers, 1)
        ws[2:] = gan.SE(torch.randn(2 * layers, w.shape[1])).reshape(2, layers, -1)  # mixed
        raw = gan.GE(ws, noise)
    arrays = {"z": z, "noise": noise, "w": w, "w_avg": w_avg, "ws": ws, "img_raw": raw}
    arrays = {key: tensor.numpy() for key, tensor in arrays.items()}
    np.savez(f"{name}.npz", **arrays, img=arrays["img_raw"].clip(0, 1))
"""


def install(folder: Path) -> Path:
    """Make the package's environment; gives its Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    for packages in ((*PACKAGES,), ("--no-deps", *ALONE)):
        pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, *packages], check=True)
    return python


def compare(file: Path, drawn: Path, folder: Path) -> dict[str, Any]:
    """Export a file of the package, and compare what the bundle draws with what it drew."""
    import numpy as np

    import stylert
    from stylert.export.bundle_writer import export_bundle
    from stylert.export.checkpoints import read_checkpoint

    checkpoint = read_checkpoint(file)
    report = export_bundle(checkpoint, folder, verify_seeds=4)
    assert report is not None
    arrays = dict(np.load(drawn))
    noise = {"noise": arrays["noise"].transpose(0, 3, 1, 2)}
    with stylert.open(folder, provider="cpu", precision="fp32") as generator:
        w = generator.map(arrays["z"], truncation_psi=1.0)[:, 0]
        img = generator.synthesize(arrays["ws"], noise=noise, output="img")
        image = generator.synthesize(arrays["ws"], noise=noise)
    saved = np.floor(arrays["img"] * 255 + 0.5).astype(np.uint8).transpose(0, 2, 3, 1)
    found = {
        "bytes": file.stat().st_size,
        "notes": list(checkpoint.notes),
        "w": float(np.abs(w - arrays["w"]).max()),
        "w_avg": float(np.abs(checkpoint.tensors["mapping.w_avg"] - arrays["w_avg"]).max()),
        "picture": float(np.abs((img + 1) / 2 - arrays["img_raw"]).max()),
        "picture_range": float(np.ptp(arrays["img_raw"])),
        "steps_of_bytes": int(np.abs(saved.astype(int) - image).max()),
        "half_precision": report.has_passed("fp16"),
    }
    print(f"{file.parent.name}: {found}")
    return found


def main(out: Path, keep: Path | None = None) -> None:
    """Compare all networks, and write the results."""
    from stylert.apps.bench.machine import describe_machine

    machine = describe_machine()
    with tempfile.TemporaryDirectory() as temporary:
        work = (keep or Path(temporary) / "files").resolve()
        work.mkdir(parents=True, exist_ok=True)
        python = install(Path(temporary) / "venv")
        options = [json.dumps(NETWORKS), str(PSI)]
        subprocess.run([str(python), "-c", DRAW, *options], check=True, cwd=work)
        found = {
            name: compare(
                work / "models" / name / "model_0.pt",
                work / f"{name}.npz",
                Path(temporary) / "bundles" / name,
            )
            for name in NETWORKS
        }
    worst = max(one["picture"] for one in found.values())
    results = {
        "schema": 1,
        "subject": "files of stylegan2_pytorch 1.9.0, drawn by it and by StyleRT",
        "bound": BOUND,
        "packages": [*PACKAGES, *ALONE],
        "machine": machine,
        "networks": {name: {"options": NETWORKS[name], **one} for name, one in found.items()},
        "summary": {"picture_worst": worst, "passed": worst <= BOUND},
    }
    out.write_text(json.dumps(results, indent=2) + "\n")
    if worst > BOUND:
        sys.exit(f"A picture is off by {worst:.3g}, expected at most {BOUND:g}.")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
