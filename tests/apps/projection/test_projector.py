"""Projection: it finds, repeats, goes on, recovers, and refuses."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.apps.projection import (
    ProjectionSettings,
    ProjectionStep,
    Projector,
    latent_statistics,
    project,
)
from stylert.apps.projection.gradient_free import project_without_gradient
from stylert.apps.projection.latent_statistics import LatentStatistics, measure_latents
from stylert.apps.projection.noise_correlation import correlate, normalise
from stylert.apps.projection.projector import open_projector
from stylert.apps.projection.result_file import read_state, write_result
from stylert.apps.projection.starting import find_starts
from stylert.apps.projection.task import to_img
from stylert.runtime.bundle import Bundle
from stylert.runtime.control.picture_fitting import PictureGradient
from stylert.runtime.errors import EngineError
from stylert.runtime.generator import Generator

Refuses = Callable[..., AbstractContextManager[None]]


def walk(generator: Generator, images: np.ndarray, **options: Any) -> ProjectionStep:
    """The last step."""
    *_, last = project(generator, images, **{"seeds_start": 20, "steps": 30, **options})
    return last


@pytest.mark.parametrize("space", ["w", "w+"])
def test_it_comes_closer(space: str, small: Generator, drawn: np.ndarray) -> None:
    first = next(project(small, drawn, seeds_start=20, steps=30, jitter=0, space=space))
    last = walk(small, drawn, jitter=0, space=space)
    assert (last.best_psnr > first.psnr + 3).all()
    img = np.asarray(small.synthesize(last.best_ws, output="img"))
    square = np.square(img - (drawn.transpose(0, 3, 1, 2) / 127.5 - 1)).mean((1, 2, 3))
    np.testing.assert_allclose(10 * np.log10(4 / square), last.best_psnr, atol=0.01)
    apart = np.ptp(last.best_ws, axis=1).max()
    assert apart == 0 if space == "w" else apart > 0


def test_the_same_seed_gives_the_same_whatever_the_company(
    small: Generator, drawn: np.ndarray
) -> None:
    together, again = (walk(small, drawn, jitter=0.05) for _ in range(2))
    np.testing.assert_array_equal(together.best_ws, again.best_ws)
    alone = walk(small, drawn[1:], jitter=0.05)
    np.testing.assert_allclose(alone.best_ws[0], together.best_ws[1], atol=1e-3)
    other = walk(small, drawn, jitter=0.05, seed=1)
    assert np.abs(other.best_ws - together.best_ws).max() > 1e-3


def test_layers_part_when_they_are_released(small: Generator, drawn: np.ndarray) -> None:
    settings = ProjectionSettings(steps=20, optimizer="adam", release=0.5)
    projector = open_projector(small, drawn, settings=settings, seeds_start=5)
    spreads = []
    for _ in projector:
        spreads.append(float(np.ptp(projector._ws, axis=1).max()))
    assert spreads[9] == 0
    assert spreads[10] > 0
    held = walk(small, drawn, spread=10.0, jitter=0)
    free = walk(small, drawn, spread=0.0, jitter=0)
    assert np.ptp(held.best_ws, axis=1).mean() < np.ptp(free.best_ws, axis=1).mean() / 2


@pytest.mark.parametrize("noise", [True, False])
def test_it_goes_on_where_it_was(
    noise: bool, small: Generator, drawn: np.ndarray, tmp_path: Path
) -> None:
    settings = ProjectionSettings(steps=12, noise=noise)
    assert settings.uses_lbfgs != noise

    def opened(**changes: Any) -> Projector:
        return open_projector(small, drawn, settings=replace(settings, **changes), seeds_start=5)

    *_, whole = opened()
    one = opened()
    for _ in range(7):
        step = one.take_step()
    write_result(tmp_path / "w.npz", step.best_ws, state=one.save_state())
    other = opened()
    other.load_state(read_state(tmp_path / "w.npz"))
    *_, last = other
    assert last.number == 12
    np.testing.assert_array_equal(last.best_ws, whole.best_ws)
    for name, field in whole.best_noise.items():
        np.testing.assert_array_equal(last.best_noise[name], field)
        np.testing.assert_allclose(field.mean((1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_array_equal(small.load_ws(tmp_path / "w.npz"), step.best_ws)


def test_another_state_is_refused(
    small: Generator, drawn: np.ndarray, tmp_path: Path, refuses: Refuses
) -> None:
    settings = ProjectionSettings(steps=12)
    state = open_projector(small, drawn, settings=settings, seeds_start=0).save_state()
    other = open_projector(small, drawn, settings=replace(settings, rate=0.2), seeds_start=0)
    with refuses("resume", "settings"):
        other.load_state(state)
    one = open_projector(small, drawn[:1], settings=settings, seeds_start=0)
    with refuses("resume", "2 pictures before, and 1 now"):
        one.load_state(state)
    turned = open_projector(small, drawn[::-1], settings=settings, seeds_start=0)
    with refuses("resume: the photos are not those of before"):
        turned.load_state(state)
    same = open_projector(small, drawn, settings=settings, seeds_start=0)
    with refuses("resume: the network is not that of before"):
        same.load_state({**state, "network": np.array("of a fine-tuned one")})
    same.load_state(state)
    with refuses("resume", "not whole"):
        one.load_state({"settings": state["settings"]})
    with refuses("resume: cannot read"):
        read_state(tmp_path / "none.npz")
    write_result(tmp_path / "w.npz", np.zeros((1, 1, 8), np.float32))
    with refuses("no projection that was interrupted"):
        read_state(tmp_path / "w.npz")


class Faulty:
    """A generator whose losses are NaN for the first picture in some calls."""

    def __init__(self, generator: Generator, calls: range) -> None:
        self._generator = generator
        self._calls = calls
        self._count = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._generator, name)

    def draw_gradient(self, *arguments: Any, **options: Any) -> PictureGradient:
        found = self._generator.draw_gradient(*arguments, **options)
        if self._count in self._calls:
            found.loss[0], found.ws[0] = np.nan, np.nan
        self._count += 1
        return found


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_a_loss_that_is_no_number_halves_the_step(
    optimizer: str, small: Generator, drawn: np.ndarray
) -> None:
    settings = ProjectionSettings(steps=20, optimizer=optimizer)
    faulty: Any = Faulty(small, range(5, 7))
    start = np.zeros((2, small.spec.num_ws, small.spec.w_dim), np.float32)
    target = drawn.transpose(0, 3, 1, 2) / 127.5 - 1
    projector = Projector(faulty, target, start, settings=settings, deviation=1.0)
    *_, last = projector
    assert np.isfinite(last.best_ws).all()
    np.testing.assert_array_equal(projector._shrunk, [0.25, 1])
    assert np.isfinite(last.best_psnr).all()


def test_losses_that_stay_no_numbers_are_an_error(
    small: Generator, drawn: np.ndarray, refuses: Refuses
) -> None:
    faulty: Any = Faulty(small, range(3, 100))
    start = np.zeros((2, small.spec.num_ws, small.spec.w_dim), np.float32)
    target = drawn.transpose(0, 3, 1, 2) / 127.5 - 1
    projector = Projector(faulty, target, start, deviation=1.0)
    with refuses("picture 0 is no number in step 14", error=EngineError):
        for _ in projector:
            pass


def test_the_start_is_the_closest_sample(small: Generator) -> None:
    ws = small.styles([3, 8], class_idx=[1, 0], truncation_psi=1)
    target = np.asarray(small.synthesize(ws, output="img"))
    found = find_starts(small, target, np.ones((2, 1, 16, 16)), count=12, best=3)
    assert found.shape == (2, 3, *ws.shape[1:])
    np.testing.assert_allclose(found[:, 0], ws, atol=1e-5)
    half = np.ones((2, 1, 16, 16), np.float32)
    half[..., 8:] = 0
    target[..., 8:] = 5
    np.testing.assert_allclose(
        find_starts(small, target * half, half, count=12)[:, 0], ws, atol=1e-5
    )


def test_the_statistics_are_those_of_w(small: Generator) -> None:
    found = measure_latents(small)
    z = np.random.RandomState(123).standard_normal((10_000, 8)).astype(np.float32)
    c = np.eye(2, dtype=np.float32)[np.arange(10_000) % 2]
    ws = small.map(z, c, truncation_psi=1)[:, 0].astype(np.float64)
    np.testing.assert_allclose(found.mean, ws.mean(0), atol=1e-5)
    assert found.deviation == pytest.approx(np.sqrt(ws.var(0).sum()), rel=1e-5)
    assert measure_latents(small) is found  # once


def test_the_statistics_are_those_of_another_network_after_a_refit(
    small_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latent_statistics, "SAMPLES", 1000)
    with Generator.open(small_bundle, provider="cpu") as opened:
        before = measure_latents(opened)
        # What `refit` does, whose engines are not to be had everywhere: w is twice as long now.
        opened.bundle = Bundle.open(small_bundle)
        monkeypatch.setattr(type(opened.bundle), "graph_sha256", lambda *_: "of another network")
        mapped = opened.map
        monkeypatch.setattr(opened, "map", lambda *z, **options: 2 * mapped(*z, **options))
        after = measure_latents(opened)
    np.testing.assert_allclose(after.mean, 2 * before.mean, atol=1e-5)
    assert after.deviation == pytest.approx(2 * before.deviation, rel=1e-5)


def test_the_statistics_are_kept_for_the_next_process(
    small_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(latent_statistics, "SAMPLES", 1000)
    drawn: list[int] = []

    def measure(threads: int = 2) -> LatentStatistics:
        with Generator.open(small_bundle, provider="cpu", threads=threads) as opened:
            mapped = opened.map

            def count(z: np.ndarray, *others: Any, **options: Any) -> np.ndarray:
                drawn.append(len(z))
                return mapped(z, *others, **options)

            monkeypatch.setattr(opened, "map", count)
            return measure_latents(opened)

    first, again = measure(), measure()
    assert drawn == [1000]
    assert np.array_equal(first.mean, again.mean)
    assert first.deviation == again.deviation
    (file,) = tmp_path.rglob("*.npz")
    whole = file.read_bytes()
    for damaged in (b"", whole[:-100], whole.replace(b"mean.npy", b"nean.npy")):
        drawn.clear()
        file.write_bytes(damaged)
        assert measure().deviation == first.deviation
        assert (drawn, file.read_bytes()) == ([1000], whole)
    drawn.clear()
    measure(threads=1)  # which may round otherwise
    assert drawn == [1000]
    monkeypatch.setenv("XDG_CACHE_HOME", str(file))  # no folder: nothing is kept there
    assert measure().deviation == first.deviation


def test_noise_that_correlates_is_found_and_its_gradient() -> None:
    random = np.random.RandomState(0)
    noise = random.randn(2, 1, 16, 16)
    _, gradient = correlate(noise)
    step = 1e-6 * random.randn(*noise.shape)
    slope = (correlate(noise + step)[0] - correlate(noise - step)[0]) / 2
    np.testing.assert_allclose((gradient * step).sum((1, 2, 3)), slope, rtol=1e-6)
    smooth = np.repeat(np.repeat(random.randn(2, 1, 4, 4), 4, axis=2), 4, axis=3)
    assert (correlate(normalise(smooth))[0] > 10 * correlate(normalise(noise))[0]).all()


def test_without_gradients(small: Generator, drawn: np.ndarray) -> None:
    pytest.importorskip("cmaes")
    steps = [*project_without_gradient(small, drawn, steps=15, seeds_start=5)]
    assert (steps[-1].best_psnr > steps[0].best_psnr).all()
    assert np.ptp(steps[-1].best_ws, axis=1).max() < 1e-6
    again = [*project_without_gradient(small, drawn, steps=15, seeds_start=5)]
    np.testing.assert_array_equal(steps[-1].best_ws, again[-1].best_ws)


def test_without_gradients_from_the_mean(small: Generator, drawn: np.ndarray) -> None:
    pytest.importorskip("cmaes")
    step = next(project_without_gradient(small, drawn, steps=1, seeds_start=0))
    off = np.square(step.img - to_img(drawn, small)).mean((1, 2, 3))
    np.testing.assert_allclose(step.best_psnr, 10 * np.log10(4 / off), 1e-4)
    near = step.best_ws - measure_latents(small).mean
    assert np.abs(near).max() < 10 * measure_latents(small).deviation


NO_MASK: Any = [[1]]


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.ones((16, 16)), "got shape (16, 16), expected (1, 1, 16, 16) or (2, 1, 16, 16)"),
        (np.ones((1, 1, 8, 8)), "got shape (1, 1, 8, 8)"),
        (np.ones((3, 1, 16, 16)), "got shape (3, 1, 16, 16)"),
        (NO_MASK, "got shape (1, 1)"),
        (np.full((1, 1, 16, 16), np.nan), "got NaN"),
    ],
)
def test_masks_that_do_not_fit_are_refused_at_once(
    mask: np.ndarray, words: str, small: Generator, drawn: np.ndarray, refuses: Refuses
) -> None:
    with refuses(f"mask: {words}"):
        project(small, drawn, mask=mask)


@pytest.mark.parametrize("way", [project, project_without_gradient])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"start": np.zeros((1, 6, 8))}, "start: got shape (1, 6, 8)"),
        ({"start": np.zeros((2, 1, 8))}, "start: got shape (2, 1, 8)"),
        ({"start": [[1], [2, 3]]}, "start: got a ragged list"),
        ({"seeds_start": -1}, "seeds_start: got -1, expected an integer of at least 0"),
        ({"seeds_start": 1.5}, "seeds_start: got 1.5"),
        ({"steps": 0}, "steps: got 0"),
        ({"steps": "many"}, "steps: got 'many'"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_at_once(
    way: Callable[..., Any],
    options: dict[str, Any],
    words: str,
    small: Generator,
    drawn: np.ndarray,
    refuses: Refuses,
) -> None:
    pytest.importorskip("cmaes")
    with refuses(words):
        way(small, drawn, **options)


def test_what_does_not_fit_is_refused_at_once(
    small: Generator, drawn: np.ndarray, without_gradient: Path, refuses: Refuses
) -> None:
    with refuses("images: got float32"):
        project(small, drawn.astype(np.float32))
    with refuses("images: got uint8 (2, 8, 16, 3)"):
        project(small, drawn[:, :8])
    with refuses("space"):
        project(small, drawn, space="z")
    with refuses("rate"):
        project(small, drawn, rate=0.0)
    with refuses("optimizer: got 'lbfgs' with noise"):
        project(small, drawn, optimizer="lbfgs", noise=True)
    with refuses("optimizer: got 'sgd'"):
        project(small, drawn, optimizer="sgd")
    with (
        Generator.open(without_gradient, provider="cpu") as other,
        refuses("has no gradient", "stylert gradient"),
    ):
        project(other, drawn)


def test_a_start_of_an_encoder_is_kept(small: Generator, drawn: np.ndarray) -> None:
    """Its layers differ: they are apart from the first step on, unless one w is looked for."""
    start = np.random.RandomState(0).randn(2, small.spec.num_ws, small.spec.w_dim)
    first = next(project(small, drawn, start=start, steps=9))
    np.testing.assert_array_equal(first.best_ws, start.astype(np.float32))
    of_one = next(project(small, drawn, start=start, steps=9, space="w"))
    np.testing.assert_allclose(of_one.best_ws[:, 0], start.mean(1), atol=1e-6)
