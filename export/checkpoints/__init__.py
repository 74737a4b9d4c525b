"""Reads StyleGAN checkpoints without running them, and writes the native one."""

from stylert.export.checkpoints.checkpoint import Checkpoint, Source, StyleGAN2Config
from stylert.export.checkpoints.native import write_native
from stylert.export.checkpoints.reader import read_checkpoint

__all__ = ["Checkpoint", "Source", "StyleGAN2Config", "read_checkpoint", "write_native"]
