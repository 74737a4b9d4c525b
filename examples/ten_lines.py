"""Pictures in ten lines: open a bundle, draw three seeds, save them.

python examples/ten_lines.py BUNDLE [FOLDER]
"""

import sys
from pathlib import Path

import stylert
from stylert.runtime.images import save_image

folder = Path(*sys.argv[2:3])
with stylert.open(sys.argv[1]) as generator:
    images = generator.generate([1, 2, 3], truncation_psi=0.7)  # uint8 [3, H, W, C]
for seed, image in enumerate(images, 1):
    save_image(image, folder / f"seed{seed}.png")
print(f"{folder.resolve()}: seed1.png to seed3.png, by {generator.choice}")
