"""The mapping network of all families in plain PyTorch, the truncation included.

StyleGAN (Karras et al. 2019), figure 1b; the label's embedding as in StyleGAN2-ADA.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from stylert.export.checkpoints import Config
from stylert.export.models.layers import FullyConnected, normalize_second_moment

__all__ = ["MappingNetwork"]


class MappingNetwork(nn.Module):
    """The mapping network: z [N, z_dim] and the label c [N, c_dim] to ws [N, num_ws, w_dim]."""

    w_avg: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.num_layers = config.mapping_layers
        self.joint_normalization = config.joint_normalization
        self.num_ws = config.num_ws
        self.embed = FullyConnected(config.c_dim, config.embed_features) if config.c_dim else None
        for i, (wide_in, wide_out) in enumerate(pairwise(config.mapping_widths)):
            layer = FullyConnected(
                wide_in,
                wide_out,
                activation=config.mapping_activation,
                lr_multiplier=config.mapping_lr_multiplier,
            )
            self.add_module(f"fc{i}", layer)
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def forward(
        self,
        z: Tensor,
        c: Tensor | None = None,
        *,
        truncation_psi: float | Tensor = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Tensor:
        """Map z to ws; psi < 1 pulls the first `truncation_cutoff` ws (None = all) to the mean.

        `truncation_psi` is a number, or a tensor [N, num_ws] (then the cutoff must be None).
        """
        x = self._join_latent(z.to(self.w_avg.dtype), c)
        for i in range(self.num_layers):
            x = self.get_submodule(f"fc{i}")(x)
        ws = x[:, None].repeat(1, self.num_ws, 1)  # [N, L, w]
        if isinstance(truncation_psi, Tensor):
            return self.w_avg + truncation_psi[:, :, None] * (ws - self.w_avg)
        kept = ws[:, :truncation_cutoff]
        ws[:, :truncation_cutoff] = self.w_avg + truncation_psi * (kept - self.w_avg)
        return ws

    def _join_latent(self, z: Tensor, c: Tensor | None) -> Tensor:
        """The input of the first layer: z and the embedded label, normalised."""
        if self.embed is None:
            return normalize_second_moment(z)
        assert c is not None, "a conditional generator needs c"
        label = self.embed(c)
        if self.joint_normalization:  # StyleGAN 1 and 2, before ADA
            return normalize_second_moment(torch.cat([z, label], dim=1))
        return torch.cat([normalize_second_moment(z), normalize_second_moment(label)], dim=1)
