"""The mapping network of all families in plain PyTorch, the truncation included.

StyleGAN (Karras et al. 2019), figure 1b; the label's embedding as in StyleGAN2-ADA, the table of
classes as in StyleGAN-XL (Sauer et al. 2022).
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
        self.embed: nn.Module | None = None
        self.embed_proj: nn.Module | None = None  # behind a table of classes
        if config.class_features:
            self.embed = ClassTable(config.c_dim, config.class_features)
            self.embed_proj = FullyConnected(
                config.class_features, config.embed_features, activation="lrelu"
            )
        elif config.c_dim:
            self.embed = FullyConnected(config.c_dim, config.embed_features)
        for i, (wide_in, wide_out) in enumerate(pairwise(config.mapping_widths)):
            layer = FullyConnected(
                wide_in,
                wide_out,
                activation=config.mapping_activation,
                lr_multiplier=config.mapping_lr_multiplier,
            )
            self.add_module(f"fc{i}", layer)
        shape = (config.c_dim, config.w_dim) if config.class_features else (config.w_dim,)
        self.register_buffer("w_avg", torch.zeros(shape))

    def forward(
        self,
        z: Tensor,
        c: Tensor | None = None,
        *,
        truncation_psi: float | Tensor = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Tensor:
        """Map z to ws; psi < 1 pulls the first `truncation_cutoff` ws (None = all) to the mean.

        `truncation_psi` is a number, or a tensor [N, num_ws] (then the cutoff must be None). With a
        table of classes, the mean is that of the class.
        """
        x = self._join_latent(z.to(self.w_avg.dtype), c)
        for i in range(self.num_layers):
            x = self.get_submodule(f"fc{i}")(x)
        ws = x[:, None].repeat(1, self.num_ws, 1)  # [N, L, w]
        mean = self._find_mean(c)
        if isinstance(truncation_psi, Tensor):
            return mean + truncation_psi[:, :, None] * (ws - mean)
        kept = ws[:, :truncation_cutoff]
        ws[:, :truncation_cutoff] = mean + truncation_psi * (kept - mean)
        return ws

    def _find_mean(self, c: Tensor | None) -> Tensor:
        """What truncation pulls to: [w_dim], with a table of classes [N, 1, w_dim]."""
        if self.embed_proj is None:
            return self.w_avg
        assert c is not None, "a conditional generator needs c"
        return self.w_avg[c.argmax(dim=1)][:, None]

    def _join_latent(self, z: Tensor, c: Tensor | None) -> Tensor:
        """The input of the first layer: z and the embedded label, normalised."""
        if self.embed is None:
            return normalize_second_moment(z)
        assert c is not None, "a conditional generator needs c"
        label = self.embed(c)
        if self.embed_proj is not None:
            label = self.embed_proj(label)
        if self.joint_normalization:  # StyleGAN 1 and 2, before ADA
            return normalize_second_moment(torch.cat([z, label], dim=1))
        return torch.cat([normalize_second_moment(z), normalize_second_moment(label)], dim=1)


class ClassTable(nn.Module):
    """A learned vector for each class, of which the label's largest number chooses one."""

    def __init__(self, classes: int, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, features))

    def forward(self, c: Tensor) -> Tensor:
        """Look up c [N, classes]: [N, features]."""
        return self.weight[c.argmax(dim=1)]
