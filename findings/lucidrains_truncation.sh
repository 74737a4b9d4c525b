#!/usr/bin/env bash
# stylegan2_pytorch 1.9.0 (lucidrains): ModelLoader.noise_to_styles(z, trunc_psi=p) is what its README has people use
# to draw with a trained model. It takes any p that is not None for 0.75, 1.0 and 0.0 included, and pulls the styles of
# the average mapping network SE towards the mean of the other one, S. So whoever compares pictures with those of the
# package at psi 0.5 finds two programs that differ, and neither has a bug in what it computes.
# Seen: the styles for 0.5, 1.0 and 0.0 are equal to the last bit, those of 0.75, and move with a bias of S.
# The package asserts at its import that there is a GPU; here PyTorch is told to say so, and nothing is moved to one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install -q --disable-pip-version-check)
"${pip[@]}" torch==2.13.0 numpy==2.4.6 pillow einops==0.8.1 kornia==0.8.1 fire tqdm
"${pip[@]}" --no-deps stylegan2_pytorch==1.9.0 vector-quantize-pytorch==0.1.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import types

import torch

torch.cuda.is_available = lambda: True
torch.Tensor.cuda = torch.nn.Module.cuda = lambda self, *arguments, **options: self
for name in ("aim", "torchvision", "torchvision.transforms"):  # for logs and training pictures
    sys.modules[name] = types.ModuleType(name)
sys.modules["torchvision"].transforms = sys.modules["torchvision.transforms"]
from stylegan2_pytorch import ModelLoader, Trainer

options = {"image_size": 8, "network_capacity": 2}
trainer = Trainer(name="net", base_dir=".", **options)
trainer.init_GAN()
trainer.save(0)
loader = ModelLoader(base_dir=".", name="net")
gan = loader.model.GAN
with torch.no_grad():
    gan.S.net[-2].bias += 100  # the mapping network in training is elsewhere than its average
    z = torch.randn(3, 512)
    styles = {psi: loader.noise_to_styles(z, trunc_psi=psi) for psi in (0.5, 1.0, 0.0)}
    w = gan.SE(z)
    mean = torch.from_numpy(loader.model.av)
    own_mean = gan.SE(torch.randn(2000, 512)).mean(dim=0)
as_075 = (0.75 * (w - mean) + mean - styles[0.5]).abs().max().item()
same = all(torch.equal(styles[0.5], other) for other in styles.values())
far = (mean - own_mean).abs().max().item()
print(f"psi 0.5, 1 and 0 give the same styles: {same}; off from psi 0.75 by {as_075:.1e}")
print(f"the mean that they are pulled to is {far:.3g} from that of their own mapping network")
if same and as_075 < 1e-4 * far and far > 1:
    print("As found: trunc_psi is not used, and the mean is that of the other network.")
else:
    sys.exit("CHANGED: trunc_psi is used, or the mean is that of the average network.")
PYTHON
