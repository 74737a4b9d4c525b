"""The figures against their definitions, closed forms, and what must not change them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stylert.apps.evaluation import (
    Estimate,
    Moments,
    estimate_density_coverage,
    estimate_frechet,
    estimate_kernel_distance,
    estimate_precision_recall,
    estimate_share,
    measure_frechet,
    measure_kernel_distance,
    measure_moments,
)
from stylert.apps.evaluation import moments as moments_module
from stylert.runtime.errors import InvalidInput


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Features in several chunks, the last one not full."""
    monkeypatch.setattr(moments_module, "CHUNK", 7)


def make_diagonal(mean: np.ndarray, deviations: np.ndarray) -> Moments:
    return Moments(mean, np.diag(deviations**2), None)


def test_distance_of_normal_distributions_in_closed_form() -> None:
    """Where covariances commute it is the distance of the means and deviations; turned, too."""
    random = np.random.default_rng(0)
    turn = np.linalg.qr(random.standard_normal((24, 24)))[0]
    deviations = [random.uniform(0.1, 3, 24), random.uniform(0.1, 3, 24)]
    means = [random.standard_normal(24), random.standard_normal(24)]
    sides = [
        Moments(mean, turn @ np.diag(d**2) @ turn.T, None)
        for mean, d in zip(means, deviations, strict=True)
    ]
    expected = np.square(means[0] - means[1]).sum() + np.square(deviations[0] - deviations[1]).sum()
    assert measure_frechet(*sides) == pytest.approx(expected, rel=1e-9)


def test_distance_of_statistics_without_full_rank() -> None:
    """Cholesky refuses them; some deviations are 0."""
    x = make_diagonal(np.zeros(4), np.array([1.0, 2.0, 0.0, 0.0]))
    y = make_diagonal(np.ones(4), np.array([3.0, 0.0, 0.0, 1.0]))
    assert measure_frechet(x, y) == pytest.approx(4 + 4 + 4 + 0 + 1, rel=1e-9)


@pytest.mark.parametrize("count", [10, 40], ids=["fewer than dimensions", "more"])
def test_distance_of_features_is_that_of_their_moments(count: int, small_chunks: None) -> None:
    x, y = draw(0, count, 16), 2 * draw(1, count + 3, 16) + 1
    of_moments = measure_frechet(measure_moments(x), measure_moments(y))
    assert measure_frechet(x, y) == pytest.approx(of_moments, rel=1e-6)
    assert measure_frechet(x, measure_moments(y)) == pytest.approx(of_moments, rel=1e-6)
    assert np.allclose(measure_moments(x).cov, np.cov(x.T.astype(np.float64)), atol=1e-12)


@pytest.mark.parametrize("count", [10, 40], ids=["fewer than dimensions", "more"])
def test_a_set_has_no_distance_from_itself(count: int) -> None:
    x = 100 * draw(0, count, 16)
    assert 0 <= measure_frechet(x, x.copy()) < 1e-8  # traces are 160,000


def test_distance_is_that_of_square_roots_of_matrices() -> None:
    """The usual formula, by eigenvalues of the product, where it is sound."""
    x, y = draw(0, 200, 8) @ draw(2, 8, 8), draw(1, 300, 8) + 1
    first, second = measure_moments(x), measure_moments(y)
    roots = np.sqrt(np.linalg.eigvals(first.cov @ second.cov).real).sum()
    usual = np.square(first.mean - second.mean).sum()
    usual += np.trace(first.cov) + np.trace(second.cov) - 2 * roots
    assert measure_frechet(x, y) == pytest.approx(usual, rel=1e-9)


def test_order_and_doubles_do_not_change_the_figures() -> None:
    x, y = draw(0, 40, 8), draw(1, 50, 8) + 0.5
    turned = np.random.default_rng(2).permutation(40)
    assert measure_frechet(x[turned], y) == pytest.approx(measure_frechet(x, y), rel=1e-12)
    for estimate in (estimate_precision_recall, estimate_density_coverage):
        first, second = estimate(x, y), estimate(x[turned], y[::-1])
        for name, figure in first.items():
            assert figure.value == pytest.approx(second[name].value, rel=1e-12)
    # Each drawn picture twice: precision and density are means over them.
    doubled = estimate_density_coverage(np.concatenate([x, x]), y)
    assert doubled["density"].value == estimate_density_coverage(x, y)["density"].value
    assert doubled["coverage"].value == estimate_density_coverage(x, y)["coverage"].value


def test_kernel_distance_is_its_definition() -> None:
    x, y = draw(0, 20, 5), draw(1, 20, 5) + 0.3

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float((a.astype(np.float64) @ b / 5 + 1) ** 3)

    pairs = list(itertools.permutations(range(20), 2))
    own = sum(kernel(x[i], x[j]) + kernel(y[i], y[j]) for i, j in pairs) / (20 * 19)
    both = sum(kernel(a, b) for a in x for b in y) / 400
    measured = measure_kernel_distance(x.astype(np.float64), y.astype(np.float64))
    assert measured == pytest.approx(own - 2 * both, rel=1e-9)


def test_kernel_distance_is_unbiased() -> None:
    """Over all halves of 8 points its mean is that of all pairs, whatever the size."""
    points = draw(0, 8, 3).astype(np.float64)
    values = []
    for chosen in itertools.permutations(range(8), 4):
        values.append(measure_kernel_distance(points[[*chosen[:2]]], points[[*chosen[2:]]]))
    assert abs(np.mean(values)) < 1e-12  # both sets are of the same points
    assert np.std(values) > 0.1


def test_kernel_distance_takes_subsets() -> None:
    x, y = draw(0, 60, 4), draw(1, 50, 4) + 1
    estimate = estimate_kernel_distance(x, y, subsets=10, subset_size=20)
    random = np.random.RandomState(2020)
    first = random.choice(60, 20, replace=False), random.choice(50, 20, replace=False)
    one = estimate_kernel_distance(x, y, subsets=1, subset_size=20)
    a, b = x[first[0]].astype(np.float64), y[first[1]].astype(np.float64)
    assert one.value == pytest.approx(measure_kernel_distance(a, b), rel=1e-12)
    assert estimate.spread is not None
    assert 0 < estimate.spread < estimate.value


def brute_force(drawn: np.ndarray, data: np.ndarray, k: int) -> tuple[float, ...]:
    """Precision, recall, density, coverage by loops."""

    def radius(features: np.ndarray, i: int) -> float:
        return float(sorted(np.linalg.norm(features - features[i], axis=1))[k])

    of_data = [radius(data, i) for i in range(len(data))]
    of_drawn = [radius(drawn, i) for i in range(len(drawn))]
    table = np.linalg.norm(drawn[:, None] - data, axis=2)
    inside = table <= of_data
    recalled = (table <= np.array(of_drawn)[:, None]).any(0)
    density = inside.sum() / (k * len(drawn))
    return inside.any(1).mean(), recalled.mean(), density, inside.any(0).mean()


def test_neighbours_are_found_as_by_loops(
    monkeypatch: pytest.MonkeyPatch, small_chunks: None
) -> None:
    monkeypatch.setattr("stylert.apps.evaluation.neighbours.ROWS", 9)
    drawn, data = draw(0, 40, 6) * 0.8, draw(1, 31, 6) + 0.4
    drawn[3], data[5] = drawn[4], data[6]  # doubles
    found = {
        **estimate_precision_recall(drawn, data, k=4),
        **estimate_density_coverage(drawn, data, k=4),
    }
    expected = brute_force(drawn.astype(np.float64), data.astype(np.float64), 4)
    names = ("precision", "recall", "density", "coverage")
    assert [found[name].value for name in names] == pytest.approx(expected, rel=1e-12)
    assert all(0 < found[name].value < 2 for name in names)


def test_a_set_of_equal_pictures_holds_them() -> None:
    """Their balls have the radius 0, which the rounding of a distance would leave."""
    same = np.tile(draw(0, 1, 16) * 1000, (10, 1))
    found = estimate_precision_recall(same, same)
    assert (found["precision"].value, found["recall"].value) == (1, 1)


def test_intervals_hold_what_other_pictures_give() -> None:
    """Of the mean of many repetitions, at 95 %."""
    held = 0
    y = measure_moments(draw(99, 5000, 4))
    values = [estimate_frechet(draw(seed, 200, 4) + 0.5, y) for seed in range(40)]
    centre = np.mean([estimate.value for estimate in values])
    for estimate in values:
        assert estimate.interval is not None
        held += estimate.interval[0] <= centre <= estimate.interval[1]
    assert 33 <= held <= 40


def test_a_share_has_wilsons_interval() -> None:
    """Its ends are where the share is 1.96 standard errors of theirs away."""
    for held, count in ((6, 8), (30, 40)):
        estimate = estimate_share(np.arange(count) < held)
        assert estimate.value == held / count
        assert estimate.interval is not None
        for end in estimate.interval:
            error = np.sqrt(end * (1 - end) / count)
            assert abs(end - estimate.value) == pytest.approx(1.96 * error)
    assert estimate_share(np.ones(8, bool)).interval == pytest.approx((8 / (8 + 1.96**2), 1))
    assert estimate_share(np.zeros(8, bool)).interval == pytest.approx((0, 1.96**2 / (8 + 1.96**2)))


def test_no_interval_reaches_below_0() -> None:
    assert Estimate(1.0, 2.0).interval == (0.0, 1.0 + 1.96 * 2.0)
    assert Estimate(5.0, 1.0).interval == (5.0 - 1.96, 5.0 + 1.96)
    assert Estimate(-1e-14, 0.0).interval == (-1e-14, -1e-14)


def test_kid_of_whole_sets_has_no_spread() -> None:
    x, y = draw(0, 12, 4), draw(1, 12, 4)
    whole = estimate_kernel_distance(x, y)
    one = measure_kernel_distance(x.astype(np.float64), y.astype(np.float64))
    assert (whole.value, whole.spread) == (one, None)
    assert estimate_kernel_distance(x, y[:11]).spread


def test_paired_sets_have_narrower_intervals() -> None:
    x = draw(0, 200, 8)
    y = x + 0.01 * draw(1, 200, 8)
    alone, paired = estimate_frechet(x, y), estimate_frechet(x, y, paired=True)
    assert alone.error is not None
    assert paired.error is not None
    assert paired.error < 0.1 * alone.error


def test_too_few_pictures_are_told() -> None:
    one, three = draw(0, 1, 4), draw(1, 3, 4)
    with pytest.raises(InvalidInput, match="got 1 rows, expected at least 2"):
        measure_frechet(one, three)
    with pytest.raises(InvalidInput, match="got 1 rows, expected at least 2"):
        estimate_kernel_distance(one, three)
    with pytest.raises(InvalidInput, match="got 3 rows, expected more than k = 3"):
        estimate_precision_recall(three, draw(2, 9, 4))
    with pytest.raises(InvalidInput, match="got 3 rows, expected more than k = 5"):
        estimate_density_coverage(three, draw(2, 9, 4))
    assert estimate_frechet(three, three).interval is None


def spoil(features: np.ndarray, value: float) -> np.ndarray:
    spoiled = features.copy()
    spoiled[-1, 0] = value
    return spoiled


SETS: list[tuple[Any, Any, str]] = [
    (draw(0, 9, 4), draw(1, 9, 5), "got 4 and 5 numbers a row, expected as many of both sets"),
    (draw(0, 9), draw(1, 9, 4), r"got float32 \(9,\), expected numbers \[N, d\]"),
    (draw(0, 9, 4)[None], draw(1, 9, 4), r"got float32 \(1, 9, 4\)"),
    (draw(0, 9, 0), draw(1, 9, 0), r"got float32 \(9, 0\)"),
    (draw(0, 9, 4).astype(str), draw(1, 9, 4), "got <U"),
    (draw(0, 9, 4).tolist(), draw(1, 9, 4), r"got \[\[.*, expected an array"),
    (draw(0, 9, 4), None, "got None, expected an array"),
    (spoil(draw(0, 9, 4), np.nan), draw(1, 9, 4), "got NaN or infinity"),
    (draw(0, 9, 4), spoil(draw(1, 9, 4), np.nan), "got NaN or infinity"),
    (spoil(draw(0, 9, 4), np.inf), draw(1, 9, 4), "got NaN or infinity"),
    (draw(0, 9, 4), spoil(draw(1, 9, 4), -np.inf), "got NaN or infinity"),
]


@pytest.mark.parametrize(
    "metric",
    [
        measure_frechet,
        estimate_frechet,
        measure_kernel_distance,
        estimate_kernel_distance,
        estimate_precision_recall,
        estimate_density_coverage,
    ],
)
@pytest.mark.parametrize(("drawn", "data", "words"), SETS)
@pytest.mark.filterwarnings("error")
def test_features_that_give_no_figure_are_refused(
    metric: Callable[[Any, Any], Any], drawn: Any, data: Any, words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        metric(drawn, data)


def test_a_distance_of_subsets_is_of_as_many() -> None:
    with pytest.raises(InvalidInput, match="got 9 and 8 rows, expected as many of both sets"):
        measure_kernel_distance(draw(0, 9, 4), draw(1, 8, 4))
    for name in ("subsets", "subset_size"):
        with pytest.raises(InvalidInput, match=f"{name}: got 0"):
            estimate_kernel_distance(draw(0, 9, 4), draw(1, 9, 4), **{name: 0})
    with pytest.raises(InvalidInput, match="k: got 0"):
        estimate_precision_recall(draw(0, 9, 4), draw(1, 9, 4), k=0)


def test_features_of_half_precision_are_measured_in_double() -> None:
    halves = [(9 * draw(seed, 40, 4)).astype(np.float16) for seed in (0, 1)]
    doubles = [half.astype(np.float64) for half in halves]
    assert measure_kernel_distance(*halves) == measure_kernel_distance(*doubles)
    assert measure_frechet(*halves) == measure_frechet(*doubles)
    assert estimate_density_coverage(*halves) == estimate_density_coverage(*doubles)
