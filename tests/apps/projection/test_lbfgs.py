"""L-BFGS: it finds the least of losses that bend, and recovers where they are no numbers."""

from __future__ import annotations

import numpy as np
import pytest

from stylert.apps.projection import lbfgs
from stylert.apps.projection.lbfgs import Lbfgs

BEND = np.logspace(0, 3, 12).reshape(3, 4)  # [K, D]: a thousand times steeper in one direction


def find_loss(place: np.ndarray, aim: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A bowl that bends more in some directions, and is no parabola."""
    off = place.astype(np.float64) - aim
    loss = (BEND * (off**2 + off**4)).sum((1, 2))
    return loss, BEND * (2 * off + 4 * off**3)


@pytest.fixture
def aim() -> np.ndarray:
    return np.random.RandomState(0).randn(2, 3, 4)


def search(search: Lbfgs, aim: np.ndarray, place: np.ndarray, steps: int) -> np.ndarray:
    """The losses, [steps, N]."""
    losses = []
    for _ in range(steps):
        loss, gradient = find_loss(place, aim)
        losses.append(loss)
        place = search.move(loss, gradient)
    return np.stack(losses)


def test_it_finds_the_least(aim: np.ndarray) -> None:
    start = np.zeros((2, 3, 4), np.float32)
    losses = search(Lbfgs(start, 0.1), aim, start, 60)
    assert (losses[-1] < 1e-8 * losses[0]).all()


def test_company_changes_nothing(aim: np.ndarray) -> None:
    start = np.zeros((2, 3, 4), np.float32)
    together = search(Lbfgs(start, 0.1), aim, start, 20)
    alone = search(Lbfgs(start[1:], 0.1), aim[1:], start[1:], 20)
    np.testing.assert_allclose(alone[:, 0], together[:, 1], rtol=1e-6)


def test_what_is_no_number_is_left_again(aim: np.ndarray) -> None:
    start = np.zeros((2, 3, 4), np.float32)
    one, place = Lbfgs(start, 0.1), start
    for step in range(60):
        loss, gradient = find_loss(place, aim)
        if 10 <= step < 13:
            loss, gradient = np.full(2, np.inf), 0 * gradient
        before, place = place, one.move(loss, gradient)
        assert np.isfinite(place).all()
        if 10 <= step < 12:  # nearer to where it was good
            good = np.matmul(one._way, one._arrays["place"])
            assert (np.abs(place - good).max((1, 2)) < np.abs(before - good).max((1, 2))).all()
    assert (find_loss(place, aim)[0] < 1e-6).all()


def test_a_slope_that_lies_is_forgotten(aim: np.ndarray) -> None:
    """Where the gradient points upwards no step is taken, and it never ends in an error."""
    start = np.zeros((2, 3, 4), np.float32)
    one, place = Lbfgs(start, 0.1), start
    for _ in range(30):
        loss, gradient = find_loss(place, aim)
        place = one.move(loss, -gradient)
    np.testing.assert_allclose(np.matmul(one._way, one._arrays["place"]), start, atol=1e-12)


def test_it_remembers_so_much(aim: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lbfgs, "MEMORY", 3)
    start = np.zeros((2, 3, 4), np.float32)
    one = Lbfgs(start, 0.1)
    losses = search(one, aim, start, 20)
    assert len(one.save("")["/moves"]) == 3
    assert (losses[-1] < 0.1 * losses[0]).all()
