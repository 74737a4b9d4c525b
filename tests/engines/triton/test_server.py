"""Repositories in a real server: what clients get is what `Generator` draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from stylert.engines.triton import write_repository
from stylert.runtime.generator import Generator

# The name of a bundle, and how its repository is written.
SERVED = {
    "sg2-cond-32": {"backend": "python", "prefix": "conditional-"},
    "sg2-nhwc-32": {"backend": "onnxruntime", "device": "cpu", "prefix": "onnx_", "version": 3},
    "sg3-t-64": {"backend": "python", "threads": 1, "prefix": "sg3-"},
}
Drawn = dict[str, Generator]


@pytest.fixture(scope="module")
def generators(bundle_of: Callable[[str], Path]) -> Iterator[Drawn]:
    opened = {name: Generator.open(bundle_of(name), provider="cpu") for name in SERVED}
    yield opened
    for generator in opened.values():
        generator.close()


@pytest.fixture(scope="module")
def client(
    serve_triton: Callable[..., Any],
    bundle_of: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("repositories")
    for name, options in SERVED.items():
        write_repository(bundle_of(name), folder / name, fronts=1, queue_delay=20.0, **options)
    with serve_triton(*(folder / name for name in SERVED)) as connected:
        yield connected


def ensemble(name: str) -> str:
    return f"{SERVED[name]['prefix']}stylegan"


def column(*values: int) -> np.ndarray:
    return np.array(values, np.int64)[:, None]


def psi(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


@pytest.mark.parametrize("name", SERVED)
def test_seeds_give_the_same_pictures(name: str, client: Any, generators: Drawn) -> None:
    conditional = generators[name].spec.c_dim > 0
    classes = {"class_idx": column(0, 3)} if conditional else {}
    got = client(ensemble(name), seed=column(1, 2**32 - 1), **classes)
    drawn = generators[name].generate([1, 2**32 - 1], class_idx=[0, 3] if conditional else None)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, drawn)


@pytest.mark.parametrize("name", SERVED)
def test_z_and_psi(name: str, client: Any, generators: Drawn) -> None:
    generator = generators[name]
    z = np.random.RandomState(5).randn(2, generator.spec.z_dim).astype(np.float32)
    labels = np.full((2, generator.spec.c_dim), 0.2, np.float32)
    given = {"labels": labels} if generator.spec.c_dim else {}
    layers = np.linspace(0, 1, 2 * generator.spec.num_ws, dtype=np.float32).reshape(2, -1)
    for asked in (psi(0.5, 0.9), layers):
        got = client(ensemble(name), z=z, truncation_psi=asked, **given)
        ws = generator.map(z, given.get("labels"), truncation_psi=asked)
        np.testing.assert_array_equal(got, generator.synthesize(ws))


@pytest.mark.parametrize("name", ["sg2-nhwc-32", "sg2-cond-32"])
def test_noise_seeds(name: str, client: Any, generators: Drawn) -> None:
    conditional = generators[name].spec.c_dim > 0
    classes = {"class_idx": column(3, 3)} if conditional else {}
    got = client(ensemble(name), seed=column(1, 1), noise_seed=column(7, 8), **classes)
    options: dict[str, Any] = {"class_idx": 3} if conditional else {}
    drawn = generators[name].generate([1, 1], noise_mode="seeded", noise_seed=[7, 8], **options)
    np.testing.assert_array_equal(got, drawn)
    assert (got[0] != got[1]).any()


def test_transforms(client: Any, generators: Drawn) -> None:
    moved = np.array([[[1, 0, 0.25], [0, 1, 0], [0, 0, 1]]], np.float32)
    got = client(ensemble("sg3-t-64"), seed=column(1), transform=moved)
    generator = generators["sg3-t-64"]
    np.testing.assert_array_equal(got, generator.generate(1, transform=moved))
    assert (got != generator.generate(1)).mean() > 0.5


def test_requests_of_many_clients_are_drawn_together(client: Any, generators: Drawn) -> None:
    asked: list[dict[str, Any]] = [
        {"seed": seed, "class_idx": seed % 5}
        | ({"truncation_psi": 0.5} if seed % 3 == 0 else {})
        | ({"noise_seed": seed + 1} if seed % 4 == 0 else {})
        for seed in range(48)
    ]

    def ask(request: dict[str, Any]) -> np.ndarray:
        arrays = {
            name: psi(value) if isinstance(value, float) else column(value)
            for name, value in request.items()
        }
        return np.asarray(client(ensemble("sg2-cond-32"), **arrays))

    before = client.batches("conditional-synthesis")
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(ask, asked))
    after = client.batches("conditional-synthesis")
    launches = {size: after[size] - before.get(size, 0) for size in after}
    assert sum(size * count for size, count in launches.items()) == len(asked)
    assert sum(launches.values()) <= len(asked) / 2, launches
    for request, answer in zip(asked, answers, strict=True):
        noise = "seeded" if "noise_seed" in request else "const"
        options = {name: value for name, value in request.items() if name != "seed"}
        drawn = generators["sg2-cond-32"].generate(request["seed"], noise_mode=noise, **options)
        np.testing.assert_array_equal(answer, drawn)


@pytest.mark.parametrize("name", ["sg2-cond-32", "sg2-nhwc-32"])
def test_the_graphs_can_be_called_by_themselves(name: str, client: Any, generators: Drawn) -> None:
    generator, prefix = generators[name], SERVED[name]["prefix"]
    spec = generator.spec
    z = np.random.RandomState(1).randn(3, spec.z_dim).astype(np.float32)
    ones = np.ones((3, spec.num_ws), np.float32)
    c = np.eye(spec.c_dim, dtype=np.float32)[:3] if spec.c_dim else None
    labels = {} if c is None else {"c": c}
    ws = client(f"{prefix}mapping", "ws", z=z, truncation_psi=ones, **labels)
    np.testing.assert_array_equal(ws, generator.map(z, c, truncation_psi=1))
    noise = {
        t.name: np.zeros((3, *map(int, t.shape[1:])), np.float32)
        for t in generator.bundle.noise_inputs
    }
    got = client(f"{prefix}synthesis", ws=ws, **noise)
    np.testing.assert_array_equal(got, generator.synthesize(ws, noise_mode="none"))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "seed"),
        (
            {"seed": column(1), "class_idx": column(1), "labels": np.ones((1, 5), np.float32)},
            "class_idx, labels: got both, expected one of them: a class of",
        ),
        ({"seed": column(-1), "class_idx": column(0)}, "seed: got -1, expected 0 to 4294967295."),
        ({"seed": column(1), "class_idx": column(5)}, "class_idx: got 5, expected 0 to 4."),
        (
            {"seed": column(1), "class_idx": column(0), "truncation_psi": psi(float("nan"))},
            "truncation_psi: got NaN or infinity, expected finite numbers.",
        ),
        ({"seed": column(*range(9)), "class_idx": column(*range(9))}, "batch-size must be <= 8"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(
    inputs: dict[str, np.ndarray], message: str, client: Any
) -> None:
    with pytest.raises(InferenceServerException) as caught:
        client(ensemble("sg2-cond-32"), **inputs)
    if inputs:  # without any, Triton itself complains
        assert message in caught.value.message()
    assert "\n" not in caught.value.message()


def test_a_wrong_request_spoils_no_other_of_its_batch(client: Any, generators: Drawn) -> None:
    generator = generators["sg3-t-64"]
    z = np.random.RandomState(0).randn(6, generator.spec.z_dim).astype(np.float32)
    ws = generator.map(z)
    transforms = np.tile(np.eye(3, dtype=np.float32), (6, 1, 1))
    transforms[3] = np.nan

    def ask(number: int) -> np.ndarray | str:
        part = slice(number, number + 1)
        try:
            return np.asarray(client("sg3-synthesis", ws=ws[part], transform=transforms[part]))
        except InferenceServerException as error:
            return str(error.message())

    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(ask, range(6)))
    assert answers.pop(3) == "transform: got NaN or infinity, expected finite numbers."
    right = np.delete(ws, 3, axis=0)
    np.testing.assert_array_equal(np.concatenate(answers), generator.synthesize(right))
