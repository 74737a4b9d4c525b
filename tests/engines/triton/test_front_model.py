"""The front by itself: it means by a seed, a psi and a class what the runtime means by them."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.engines.triton import front_model, write_repository
from stylert.runtime.bundle import Bundle
from stylert.runtime.latents import make_psi, make_z
from stylert.runtime.noise import NoiseSource

Front = Callable[[str], tuple[Any, Bundle]]


@pytest.fixture
def front(
    bundle_of: Callable[[str], Path], load_model: Callable[[Path], Any], tmp_path: Path
) -> Front:
    """The front of a golden's repository, and its bundle."""

    def load(name: str) -> tuple[Any, Bundle]:
        write_repository(bundle_of(name), tmp_path / name, backend="python")
        return load_model(tmp_path / name / "front"), Bundle.open(bundle_of(name))

    return load


def column(*values: int) -> np.ndarray:
    return np.array(values, np.int64)[:, None]


def test_it_needs_numpy_alone() -> None:
    tree = ast.parse(Path(front_model.__file__).read_text(encoding="utf-8"))
    roots = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert roots - sys.stdlib_module_names == {"numpy", "triton_python_backend_utils"}


@pytest.mark.parametrize("name", ["sg1-tf-32", "sg2-cond-32", "sg3-t-64", "field/luci16"])
def test_the_defaults(name: str, front: Front) -> None:
    model, bundle = front(name)
    spec = bundle.spec
    classes = {"class_idx": column(1, 0)} if spec.c_dim else {}
    got = model(seed=column(0, 2**32 - 1), **classes)
    np.testing.assert_array_equal(got.pop("z"), make_z([0, 2**32 - 1], spec.z_dim))
    psi = make_psi(spec.truncation_psi, spec.truncation_cutoff, batch=2, num_ws=spec.num_ws)
    np.testing.assert_array_equal(got.pop("truncation_psi"), psi)
    for noise, own in bundle.read_noise().items():
        np.testing.assert_array_equal(got.pop(noise), np.concatenate([own, own]))
    if spec.c_dim:
        np.testing.assert_array_equal(got.pop("c"), np.eye(spec.c_dim, dtype=np.float32)[[1, 0]])
    if name == "sg3-t-64":
        np.testing.assert_array_equal(got.pop("transform"), [np.eye(3)] * 2)
    assert not got


def test_what_is_given_goes_on(front: Front) -> None:
    model, bundle = front("sg2-cond-32")
    random = np.random.RandomState(0)
    spec = bundle.spec
    given = {
        "z": random.randn(2, spec.z_dim).astype(np.float32),
        "labels": random.rand(2, spec.c_dim).astype(np.float32),
        "truncation_psi": random.rand(2, spec.num_ws).astype(np.float32),
    }
    got = model(**given, noise_seed=column(3, 2**32 - 1))
    np.testing.assert_array_equal(got["z"], given["z"])
    np.testing.assert_array_equal(got["c"], given["labels"])
    np.testing.assert_array_equal(got["truncation_psi"], given["truncation_psi"])
    source = NoiseSource(bundle.noise_inputs, bundle.read_noise())
    for name, field in source.seeded([3, 2**32 - 1]).items():
        np.testing.assert_array_equal(got[name], field)


def test_uniform_noise_is_that_of_the_runtime(front: Front) -> None:
    model, bundle = front("field/luci16")
    got = model(seed=column(1, 2), noise_seed=column(3, 2**32 - 1))["noise"]
    source = NoiseSource(bundle.noise_inputs, bundle.read_noise())
    np.testing.assert_array_equal(got, source.seeded([3, 2**32 - 1])["noise"])


def test_a_seed_has_a_class_of_its_own(front: Front) -> None:
    model, bundle = front("sg2-cond-32")
    got = model(seed=column(7, 2**32 - 1))["c"]
    classes = bundle.classes.make_labels(None, None, batch=2, seeds=[7, 2**32 - 1])
    np.testing.assert_array_equal(got, classes)


def test_classes_have_names(
    named_bundle: Path, load_model: Callable[[Path], Any], tmp_path: Path
) -> None:
    write_repository(named_bundle, tmp_path / "named", backend="python")
    model = load_model(tmp_path / "named" / "front")
    names = np.array([[b"dog"], [b"ant"]], object)
    got = model(seed=column(1, 2), class_name=names)["c"]
    np.testing.assert_array_equal(got, np.eye(5, dtype=np.float32)[[3, 0]])
    wrong = "class_name: got 'bird', expected one of ant, bee, cat, dog, elk."
    with pytest.raises(Exception, match=wrong):
        model(seed=column(1), class_name=np.array([[b"bird"]], object))


def test_classes_that_are_looked_up_are_not_mixed(front: Front) -> None:
    model, _ = front("field/xl-cond")
    one = np.eye(10, dtype=np.float32)[[3, 9]]
    np.testing.assert_array_equal(model(seed=column(1, 2), labels=one)["c"], one)
    for labels in (one * 0.5, one + one[::-1], one * 0):
        with pytest.raises(Exception, match="labels: got a mix of classes, expected one class"):
            model(seed=column(1, 2), labels=labels)


def test_one_psi_holds_for_all_layers(front: Front) -> None:
    model, bundle = front("sg1-tf-32")  # whose own psi ends at a layer
    got = model(seed=column(1, 2), truncation_psi=np.array([[0.5], [0.25]], np.float32))
    expected = make_psi([0.5, 0.25], None, batch=2, num_ws=bundle.spec.num_ws)
    np.testing.assert_array_equal(got["truncation_psi"], expected)


def test_everything_is_contiguous_and_float32(front: Front) -> None:
    for name in ("sg2-cond-32", "sg3-t-64"):
        model, bundle = front(name)
        classes = {"class_idx": column(0, 0)} if bundle.spec.c_dim else {}
        for array in model(seed=column(1, 2), **classes).values():
            assert array.dtype == np.float32
            assert array.flags.c_contiguous


NAN = np.full((1, 1), np.nan, np.float32)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("sg1-tf-32", {}, "z, seed: got neither, expected one of them."),
        (
            "sg1-tf-32",
            {"z": np.zeros((1, 64), np.float32), "seed": column(1)},
            "z, seed: got both, expected one of them.",
        ),
        ("sg1-tf-32", {"seed": column(2**32)}, "seed: got 4294967296, expected 0 to 4294967295."),
        ("sg1-tf-32", {"seed": column(1), "noise_seed": column(-1)}, "noise_seed: got -1, expec"),
        (
            "sg1-tf-32",
            {"z": np.full((1, 64), np.inf, np.float32)},
            "z: got NaN or infinity, expected finite numbers.",
        ),
        ("sg1-tf-32", {"seed": column(1), "truncation_psi": NAN}, "truncation_psi: got NaN or inf"),
        (
            "sg1-tf-32",
            {"seed": column(1), "truncation_psi": np.ones((1, 3), np.float32)},
            "truncation_psi: got 3 numbers an image, expected 1 or 8.",
        ),
        (
            "sg2-cond-32",
            {"z": np.zeros((1, 64), np.float32)},
            "class_idx, labels: got neither, expected one of them: a class of 0 to 4, or 5 n",
        ),
        (
            "sg2-cond-32",
            {"seed": column(1), "class_idx": column(1), "labels": np.ones((1, 5), np.float32)},
            "class_idx, labels: got both",
        ),
        ("sg2-cond-32", {"seed": column(1), "class_idx": column(5)}, "class_idx: got 5, expec"),
        (
            "sg3-t-64",
            {"seed": column(1), "transform": np.ones((1, 3, 3), np.float32)},
            "transform: got another last row than 0 0 1, expected plane motions.",
        ),
        (
            "sg3-t-64",
            {"seed": column(1), "transform": np.diag([1e6, 1, 1]).astype(np.float32)[None]},
            "transform: got 1e+06, expected up to 1000.",
        ),
    ],
)
def test_what_is_wrong_is_told(
    name: str, given: dict[str, np.ndarray], message: str, front: Front
) -> None:
    model, _ = front(name)
    right = {"seed": column(1)} | ({"class_idx": column(0)} if name == "sg2-cond-32" else {})
    wrong, good = model.ask([given, right])
    assert message in str(wrong)
    assert "\n" not in str(wrong)
    assert wrong.code == wrong.INVALID_ARG
    assert "z" in good
