"""Reads StyleGAN checkpoints without running them, and writes the native one."""

from stylert.export.checkpoints.assumptions import Assumptions
from stylert.export.checkpoints.checkpoint import Checkpoint, Source
from stylert.export.checkpoints.configs.config import Config
from stylert.export.checkpoints.configs.lucidrains import LucidrainsConfig
from stylert.export.checkpoints.configs.stylegan1 import StyleGAN1Config
from stylert.export.checkpoints.configs.stylegan2 import StyleGAN2Config
from stylert.export.checkpoints.configs.stylegan3 import StyleGAN3Config, StyleGAN3Layer
from stylert.export.checkpoints.native import write_native
from stylert.export.checkpoints.reader import read_checkpoint

__all__ = [
    "Assumptions",
    "Checkpoint",
    "Config",
    "LucidrainsConfig",
    "Source",
    "StyleGAN1Config",
    "StyleGAN2Config",
    "StyleGAN3Config",
    "StyleGAN3Layer",
    "read_checkpoint",
    "write_native",
]
