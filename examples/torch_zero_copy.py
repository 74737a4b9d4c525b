"""Pictures for PyTorch, without a copy: on the GPU if the bundle runs there, else on the CPU.

The tensor and the array are the same memory. On a GPU nothing passes through the host, and torch
waits on its own stream until the pictures are drawn.

python examples/torch_zero_copy.py BUNDLE
"""

import sys

import torch

import stylert

with stylert.open(sys.argv[1]) as generator:
    drawn = generator.generate([1, 2, 3, 4], on_device=True)  # uint8 [4, H, W, C]
    images = torch.from_dlpack(drawn)  # the same memory: uint8 [4, H, W, C]

    # 'img' is what networks take: float32 [4, C, H, W] in [-1, 1].
    batch = torch.from_dlpack(generator.generate([1, 2, 3, 4], output="img", on_device=True))
    small = torch.nn.functional.avg_pool2d(batch.clamp(-1, 1), 4)

print(f"{generator.choice}")
print(f"images {tuple(images.shape)} {images.dtype} on {images.device}")
print(f"small {tuple(small.shape)} {small.dtype} on {small.device}, mean {small.mean():.3f}")
if drawn.__dlpack_device__()[0] == 1:  # the CPU, where the addresses can be compared
    print(f"copied: {images.data_ptr() != drawn.ctypes.data}")
