"""The principal components of w: what varies most in a generator (GANSpace, section 2.1).

Härkönen et al. 2020, "GANSpace: Discovering Interpretable GAN Controls".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stylert.runtime.arguments import check_integer

__all__ = ["PrincipalComponents", "find_principal_components", "fix_sign"]


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class PrincipalComponents:
    """The k strongest principal components of w, the strongest first. All float32.

    Attributes:
        mean: [w_dim].
        components: [k, w_dim], each of length 1; the largest number of each is positive.
        stddev: [k], the standard deviation of w along each.
        explained: [k], the share of the whole variance that each has.
    """

    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    stddev: NDArray[np.float32]
    explained: NDArray[np.float32]

    def direction(self, index: int) -> NDArray[np.float32]:
        """A direction [w_dim] for `Generator.edit`, where a strength counts standard deviations.

        Raises:
            InvalidInput: there is no component of this index, 0 to k - 1.
        """
        check_integer("index", index, 0, len(self.components) - 1)
        direction: NDArray[np.float32] = self.components[index] * self.stddev[index]
        return direction


def find_principal_components(batches: Iterable[np.ndarray], k: int) -> PrincipalComponents:
    """The principal components of samples that come in batches; memory does not grow with them.

    Args:
        batches: [n, w_dim] floats each, 2 samples or more in all.
        k: how many components, at most w_dim.
    """
    samples, origin = 0, np.zeros(0)
    for batch in batches:
        if not samples:  # near the mean, so that little is lost where squares are subtracted
            origin = batch.mean(axis=0, dtype=np.float64)
            total = np.zeros_like(origin)
            products = np.zeros((len(origin), len(origin)))
        offsets = batch - origin  # [n, w] float64
        total += offsets.sum(axis=0)
        products += offsets.T @ offsets
        samples += len(batch)
    mean = total / samples
    covariance = (products - samples * np.outer(mean, mean)) / (samples - 1)
    variances, vectors = np.linalg.eigh(covariance)  # from the weakest on
    variances = np.maximum(variances[::-1], 0)
    whole = max(variances.sum(), np.finfo(np.float64).tiny)
    return PrincipalComponents(
        mean=(origin + mean).astype(np.float32),
        components=fix_sign(vectors.T[::-1][:k]).astype(np.float32),
        stddev=np.sqrt(variances[:k]).astype(np.float32),
        explained=(variances[:k] / whole).astype(np.float32),
    )


def fix_sign(vectors: np.ndarray) -> np.ndarray:
    """Vectors [k, D], turned so that the largest number of each is positive.

    An eigenvector is as right with the other sign; so it is the same wherever it is computed.
    """
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=1)[:, None], axis=1)
    return np.where(largest < 0, -vectors, vectors)
