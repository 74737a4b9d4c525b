"""SeFa: directions in w from the weights alone (Shen and Zhou 2021, closed-form factorization).

A layer's styles are A w + b. A step n of length 1 changes them by A n, and the sum of |A n|^2 over
some layers is largest along the eigenvectors of the sum of A^T A (equations 4 to 6).

As in the authors' own tool, a ToRGB layer counts only where its w drives nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from stylert.export.checkpoints import Checkpoint, Config
from stylert.runtime.control.layers import group_layers
from stylert.runtime.control.pca import fix_sign
from stylert.runtime.files.directions import DirectionSet

__all__ = ["list_affine_names", "find_sefa_directions", "find_strongest_directions"]

DIRECTIONS = 20  # of each group of layers


def find_sefa_directions(checkpoint: Checkpoint) -> list[DirectionSet]:
    """The strongest directions of all layers, and of the coarse, middle and fine ones.

    Returns:
        the sets 'sefa_all', 'sefa_coarse', 'sefa_middle' and 'sefa_fine', but for empty groups.
    """
    config = checkpoint.config
    scale = np.sqrt(config.w_dim)  # of the equalised learning rate
    weights = [
        np.concatenate([checkpoint.tensors[name] for name in names]) / scale
        for names in list_affine_names(config)
    ]
    sets = []
    for name, layers in group_layers(checkpoint.family, config.num_ws).items():
        if layers:
            vectors, eigenvalues = find_strongest_directions(weights[i] for i in layers)
            sets.append(
                DirectionSet(
                    f"sefa_{name}",
                    vectors[:DIRECTIONS].astype(np.float32),
                    eigenvalues[:DIRECTIONS].astype(np.float32),
                    np.array(layers, np.int64),
                )
            )
    return sets


def find_strongest_directions(weights: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The eigenvectors of the sum of A^T A, from the largest eigenvalue on.

    Args:
        weights: A [out, w_dim] of each layer.

    Returns:
        eigenvectors [w_dim, w_dim] float64, a row each, the largest number of a row positive; and
        eigenvalues [w_dim] float64.
    """
    gram = sum(A.T @ A for A in (weight.astype(np.float64) for weight in weights))
    eigenvalues, vectors = np.linalg.eigh(gram)  # from the smallest on
    return fix_sign(vectors.T[::-1]), eigenvalues[::-1]


def list_affine_names(config: Config) -> list[list[str]]:
    """Names of the weights A of the layers that each w drives, num_ws lists of them."""
    names = [name for name in config.list_synthesis_shapes() if name.endswith(".affine.weight")]
    last = names[-1]  # StyleGAN2's last ToRGB layer has a w of its own
    convs = [name for name in names if not name.endswith(".torgb.affine.weight")]
    if len(convs) < config.num_ws:
        convs.append(last)
    share = len(convs) // config.num_ws  # of a lucidrains network, a w drives two
    assert len(convs) == share * config.num_ws, convs
    return [convs[i : i + share] for i in range(0, len(convs), share)]
