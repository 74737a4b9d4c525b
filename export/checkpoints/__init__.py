"""Reads StyleGAN checkpoints without running them, and writes the native one."""

from stylert.export.checkpoints.checkpoint import Checkpoint, Source
from stylert.export.checkpoints.config import Config
from stylert.export.checkpoints.native import write_native
from stylert.export.checkpoints.reader import read_checkpoint
from stylert.export.checkpoints.stylegan1_config import StyleGAN1Config
from stylert.export.checkpoints.stylegan2_config import StyleGAN2Config
from stylert.export.checkpoints.stylegan3_config import StyleGAN3Config, StyleGAN3Layer

__all__ = [
    "Checkpoint",
    "Config",
    "Source",
    "StyleGAN1Config",
    "StyleGAN2Config",
    "StyleGAN3Config",
    "StyleGAN3Layer",
    "read_checkpoint",
    "write_native",
]
