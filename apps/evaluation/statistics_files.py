"""Files of statistics: mean and covariance of a data set's features, which FID needs alone.

Ours are .npz with mu, sigma, n and what the network was. clean-fid's, and those of most others,
are .npz with mu and sigma; NVlabs' are pickles of sums, which are read as checkpoints are: nothing
in them is run. Theirs do not tell the network.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stylert.apps.evaluation.feature_network import FeatureNetwork
from stylert.apps.evaluation.moments import Moments
from stylert.runtime.arguments import shown
from stylert.runtime.errors import CheckpointError, InvalidInput
from stylert.runtime.files.arrays import read_headers
from stylert.runtime.files.publishing import publish_file

__all__ = ["Statistics", "check_network", "read_statistics", "write_statistics"]

MOST = 1 << 30  # bytes: 2048 dimensions take 34 MB
SAME = ("name", "dim", "size", "resize", "sha256")  # of a network: then its features are the same


@dataclass(frozen=True)
class Statistics:
    """What a file holds.

    Attributes:
        moments: mean and covariance.
        network: what the network is told as; None where the file does not tell.
        source: which tool wrote it.
    """

    moments: Moments
    network: Mapping[str, Any] | None
    source: str


def write_statistics(path: str | Path, moments: Moments, network: FeatureNetwork) -> None:
    """Write a file that `read_statistics`, and clean-fid, read. It appears whole or not at all."""
    told = json.dumps(network.describe())
    with publish_file(path) as partial, partial.open("wb") as file:
        np.savez(file, mu=moments.mean, sigma=moments.cov, n=np.array(moments.count), network=told)


def read_statistics(path: str | Path) -> Statistics:
    """Read the statistics of a data set.

    Raises:
        InvalidInput: no such file, no statistics, or none of a distribution.
        CheckpointError: a pickle that is damaged or unsafe.
    """
    path = Path(path)
    if not path.is_file():
        raise InvalidInput(f"stats: got {shown(str(path))}, expected a file of statistics.")
    try:
        with path.open("rb") as file:
            begin = file.read(2)
        if begin[:1] not in (b"P", b"\x80"):
            raise ValueError("it is neither an .npz nor a pickle")
        found = _read_arrays(path) if begin == b"PK" else _read_sums(path)
        _check(found.moments)
    except CheckpointError as error:
        raise CheckpointError(f"Cannot read {str(path)!r}: {error}.") from None
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())[:120]
        raise InvalidInput(
            f"stats: got {path}, which holds no statistics ({reason}), expected an .npz with "
            "mu and sigma, or NVlabs' pickle."
        ) from None
    return found


def check_network(statistics: Statistics, network: FeatureNetwork, path: str | Path) -> None:
    """Refuse statistics of another network than the one that is used.

    Raises:
        InvalidInput: another number of dimensions, name, size, resize, or weights.
    """
    dim = len(statistics.moments.mean)
    if dim != network.dim:
        raise InvalidInput(
            f"stats: got {path} of {dim} dimensions, expected {network.dim}, those of "
            f"{network.name}. Pass the features that it was made with."
        )
    now = network.describe()
    for name in SAME if statistics.network is not None else ():
        assert statistics.network is not None
        if statistics.network.get(name) != now[name]:
            raise InvalidInput(
                f"stats: got {path} of features with the {name} "
                f"{shown(statistics.network.get(name))}, expected {shown(now[name])}. Pass the "
                "features that it was made with."
            )


def _read_arrays(path: Path) -> Statistics:
    with path.open("rb") as file:
        headers = read_headers(file, most=MOST)
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            mean, cov = (np.asarray(arrays[name], np.float64) for name in ("mu", "sigma"))
            count = int(arrays["n"]) if "n" in headers else None
            network = json.loads(str(arrays["network"])) if "network" in headers else None
    if network is not None and not isinstance(network, dict):
        raise ValueError("its network is no object")
    source = "clean-fid" if network is None else "stylert"
    return Statistics(Moments(mean, cov, count), network, source)


def _read_sums(path: Path) -> Statistics:
    """NVlabs' FeatureStats: sums of x and of x xᵀ. Its covariance has the divisor n."""
    from stylert.export.checkpoints.safe_pickle.allow_list import read_pickle
    from stylert.export.checkpoints.safe_pickle.arrays import PickledArray

    if path.stat().st_size > MOST:
        raise ValueError(f"it has more than {MOST} bytes")
    value, _ = read_pickle(memoryview(path.read_bytes()))
    if type(value) is not dict:
        raise ValueError(f"it holds a {type(value).__name__}")
    count, sums = value["num_items"], [value[name] for name in ("raw_mean", "raw_cov")]
    if type(count) is not int or count < 2 or not all(type(s) is PickledArray for s in sums):
        raise ValueError("it has no sums of features")
    total, products = (np.array(s.array, np.float64) for s in sums)
    mean = total / count
    if products.shape != (len(mean), len(mean)):
        raise ValueError(f"its sums have the shapes {total.shape} and {products.shape}")
    return Statistics(Moments(mean, products / count - np.outer(mean, mean), count), None, "NVlabs")


def _check(moments: Moments) -> None:
    mean, cov = moments.mean, moments.cov
    if mean.ndim != 1 or not len(mean) or cov.shape != (len(mean), len(mean)):
        raise ValueError(f"its mean and covariance have the shapes {mean.shape} and {cov.shape}")
    if not (np.isfinite(mean).all() and np.isfinite(cov).all()):
        raise ValueError("they hold numbers that are not finite")
    scale = np.abs(cov).max()
    if not np.allclose(cov, cov.T, atol=1e-6 * scale) or cov.diagonal().min() < -1e-6 * scale:
        raise ValueError("its covariance is none")
