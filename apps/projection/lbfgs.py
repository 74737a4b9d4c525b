"""L-BFGS (Nocedal 1980) on NumPy arrays, of N pictures at once: one loss and gradient a step.

It learns from its steps how the loss bends, and so takes a fifth of the steps of Adam. It needs a
loss that is the same whenever it is asked: none with jitter, nor with noise that moves besides.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

__all__ = ["Lbfgs"]

MEMORY = 100  # steps that are remembered
ENOUGH = 1e-4  # a step is taken if it gives this share of what the slope promises
SHARED = 4.0  # how much further the mean of the layers moves than what they differ by
PATIENCE = 8  # steps refused one after the other, after which what was learned is forgotten


class Lbfgs:
    """The state of a search.

    Args:
        start: [N, K, D] floats, the first place.
        first: how long the first step is.
    """

    def __init__(self, start: np.ndarray, first: float) -> None:
        N, K, _ = start.shape
        # From what is searched to the place; symmetric.
        self._way = np.eye(K) + (SHARED - 1) / K  # [K, K]
        self._arrays: dict[str, np.ndarray] = {
            "place": np.matmul(np.linalg.inv(self._way), start.astype(np.float64)),
            "loss": np.full(N, np.inf),
            "gradient": np.zeros(start.shape),
            "direction": np.zeros(start.shape),
            "share": np.ones(N),  # of the direction that is tried
            "refused": np.zeros(N, np.int64),
            "moves": np.zeros((0, *start.shape)),  # [steps, N, K, D], the latest last
            "changes": np.zeros((0, *start.shape)),  # of the gradient, with them
        }
        self._first = first

    def move(self, loss: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Learn what was found where it was tried, and give the next place to try.

        Args:
            loss: [N]; infinite where it is no number.
            gradient: [N, K, D], by the place.

        Returns:
            [N, K, D] float32.
        """
        a = self._arrays
        tried = a["place"] + a["share"][:, None, None] * a["direction"]
        found = np.matmul(self._way, gradient.astype(np.float64))
        slope = (a["gradient"] * a["direction"]).sum((1, 2))
        taken = loss <= a["loss"] + ENOUGH * a["share"] * slope
        self._remember(taken, tried - a["place"], found - a["gradient"])
        # Where it is refused: the least of the parabola through both losses and the slope.
        with np.errstate(invalid="ignore", divide="ignore"):
            least = -slope * a["share"] ** 2 / (2 * (loss - a["loss"] - slope * a["share"]))
        shorter = np.clip(np.nan_to_num(least), 0.1 * a["share"], 0.5 * a["share"])
        a["share"] = np.where(taken, 1.0, shorter)
        a["refused"] = np.where(taken, 0, a["refused"] + 1)
        which = taken[:, None, None]
        a["place"], a["gradient"] = (
            np.where(which, tried, a["place"]),
            np.where(which, found, a["gradient"]),
        )
        a["loss"] = np.where(taken, loss, a["loss"])
        self._forget()
        for i in np.flatnonzero(taken | (a["refused"] == PATIENCE)):
            a["direction"][i] = self._find_direction(int(i))
        place = a["place"] + a["share"][:, None, None] * a["direction"]
        return np.asarray(np.matmul(self._way, place), np.float32)

    def save(self, name: str) -> dict[str, np.ndarray]:
        """All of it as arrays, whose names start with a name."""
        return {f"{name}/{part}": array for part, array in self._arrays.items()}

    def load(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Take on what `save` gave.

        Raises:
            KeyError: it is not there.
        """
        self._arrays = {part: np.array(arrays[f"{name}/{part}"]) for part in self._arrays}

    def _remember(self, taken: np.ndarray, moves: np.ndarray, changes: np.ndarray) -> None:
        """Keep the steps that were taken and along which the loss bends upwards; else zeros."""
        known = np.isfinite(self._arrays["loss"])
        bends = (moves * changes).sum((1, 2)) > 1e-10 * np.square(changes).sum((1, 2))
        kept = (taken & known & bends)[:, None, None]
        if not kept.any():
            return
        for name, new in (("moves", moves), ("changes", changes)):
            row = np.where(kept, new, 0)[None]
            self._arrays[name] = np.concatenate([self._arrays[name][1 - MEMORY :], row])

    def _forget(self) -> None:
        """Begin anew where no share of the direction is any good."""
        lost = self._arrays["refused"] == PATIENCE
        if lost.any():
            self._arrays["moves"][:, lost] = 0
            self._arrays["share"] = np.where(lost, 1.0, self._arrays["share"])

    def _find_direction(self, i: int) -> np.ndarray:
        """Of one picture: the gradient, bent by what is known of the loss, downwards."""
        pull: np.ndarray = self._arrays["gradient"][i].copy()
        known = []
        moves, changes = (self._arrays[name][:, i] for name in ("moves", "changes"))
        for move, change in zip(moves, changes, strict=True):
            if move.any():
                known.append((move, change, 1 / float((move * change).sum())))
        shares = []
        for move, change, rate in reversed(known):
            shares.append(rate * (move * pull).sum())
            pull -= shares[-1] * change
        if known:
            move, change, _ = known[-1]
            pull *= (move * change).sum() / np.square(change).sum()
        else:
            pull *= self._first / max(float(np.linalg.norm(pull)), 1e-30)
        for (move, change, rate), share in zip(known, reversed(shares), strict=True):
            pull += (share - rate * (change * pull).sum()) * move
        return -pull
