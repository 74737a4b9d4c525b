"""The generator: the official pictures, batches, noise, truncation, labels, threads, close."""

from __future__ import annotations

import gc
import json
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import stylert
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import BundleError, EngineError, InvalidInput, StylertWarning
from stylert.runtime.feeds import Feeds
from stylert.runtime.generator import Generator
from stylert.runtime.images import to_uint8
from stylert.runtime.latents import make_z
from stylert.runtime.proof.parity import TOLERANCES, compare

GOLDENS = Path(__file__).parents[1] / "goldens"
NAMES = sorted(path.stem for path in GOLDENS.glob("sg2-*.npz"))
SEEDS = (5, 3, 2**32 - 1, 0, 8, 3, 11)  # one twice
NOISE_MODES = ("const", "none", "seeded")


def same(expected: np.ndarray, got: np.ndarray) -> bool:
    return compare(expected, got).within(TOLERANCES["fp32"])


def within_a_level(expected: np.ndarray, got: np.ndarray) -> bool:
    return bool(np.abs(expected.astype(int) - got.astype(int)).max() <= 1)


# --- What the official implementations draw.


@pytest.fixture(scope="module", params=NAMES)
def golden(
    request: pytest.FixtureRequest, bundle_of: Callable[[str], Path]
) -> tuple[Generator, dict[str, np.ndarray], int]:
    """A generator, the official arrays, and the cutoff that they were made with."""
    with np.load(GOLDENS / f"{request.param}.npz") as file:
        arrays = dict(file)
    cutoff = json.loads((GOLDENS / f"{request.param}.json").read_text())["truncation_cutoff"]
    return Generator.open(bundle_of(request.param), provider="cpu"), arrays, cutoff


def test_styles_are_the_official_ones(
    golden: tuple[Generator, dict[str, np.ndarray], int],
) -> None:
    generator, arrays, cutoff = golden
    z, c = arrays["z"], arrays.get("c")
    got = {
        "ws_psi1": generator.map(z, c, truncation_psi=1),
        "ws_psi07": generator.map(z, c, truncation_psi=0.7),
        "ws_psi07_cut": generator.map(z, c, truncation_psi=0.7, truncation_cutoff=cutoff),
    }
    for name, ws in got.items():
        assert ws.dtype == np.float32
        assert same(arrays[name], ws), name
    assert np.array_equal(generator.w_avg, arrays["w_avg"])


@pytest.mark.parametrize(
    ("image", "ws", "noise_mode"),
    [
        ("img_const", "ws_psi1", "const"),
        ("img_none", "ws_psi1", "none"),
        ("img_psi07", "ws_psi07_cut", "const"),
    ],
)
def test_images_are_the_official_ones(
    golden: tuple[Generator, dict[str, np.ndarray], int], image: str, ws: str, noise_mode: Any
) -> None:
    generator, arrays, _ = golden
    expected = arrays[image]
    styles = arrays[ws][: len(expected)]
    img = generator.synthesize(styles, noise_mode=noise_mode, output="img")
    assert img.dtype == np.float32
    assert same(expected, img)
    drawn = generator.synthesize(styles, noise_mode=noise_mode)
    assert drawn.dtype == np.uint8
    assert within_a_level(to_uint8(img), drawn)
    assert within_a_level(to_uint8(expected), drawn)


# --- What an image depends on, and what not.


@pytest.fixture(scope="module", params=[1, 3, 8])
def batched(request: pytest.FixtureRequest, bundle: Path) -> Generator:
    return Generator.open(bundle, provider="cpu", max_batch=request.param)


@pytest.mark.parametrize("noise_mode", NOISE_MODES)
def test_batch_and_place_do_not_change_an_image(
    batched: Generator, generator: Generator, noise_mode: Any
) -> None:
    options: dict[str, Any] = {"noise_mode": noise_mode, "truncation_psi": 0.8, "output": "img"}
    singles = np.concatenate([generator.generate(seed, **options) for seed in SEEDS])
    assert same(singles, batched.generate(SEEDS, **options))
    assert same(singles[::-1], batched.generate(SEEDS[::-1], **options))


def test_the_latent_of_a_seed_is_the_original_tools() -> None:
    rows = [np.random.RandomState(seed).randn(64).astype(np.float32) for seed in (0, 2**32 - 1)]
    assert np.array_equal(make_z([0, 2**32 - 1], 64), np.stack(rows))


def test_generate_is_map_then_synthesize(generator: Generator) -> None:
    z = make_z([4, 5], generator.spec.z_dim)
    assert np.array_equal(generator.generate([4, 5]), generator.synthesize(generator.map(z)))


@pytest.mark.parametrize("seeds", [[7, 8], (7, 8), range(7, 9), np.array([7, 8]), iter([7, 8])])
def test_seeds_come_in_many_ways(generator: Generator, seeds: Any) -> None:
    images = generator.generate(seeds)
    assert images.shape == (2, 32, 32, 3)
    assert np.array_equal(images[:1], generator.generate(np.uint32(7)))
    assert np.array_equal(images[1:], generator.generate(np.array(8)))


def test_seeded_noise_depends_on_the_seed_of_the_image_alone(generator: Generator) -> None:
    def draw(seeds: Sequence[int], noise_seed: Any = None) -> np.ndarray:
        return generator.generate(seeds, noise_mode="seeded", noise_seed=noise_seed, output="img")

    first = draw([1, 2, 3])
    assert same(first, draw([1, 2, 3], [1, 2, 3]))  # by default the image's own seed
    assert same(first[[2, 0]], draw([3, 1]))
    shared = draw([1, 2, 3], 9)
    assert same(shared, draw([1, 2, 3], [9, 9, 9]))
    assert same(shared, draw([1, 2, 3], np.array([9])))
    assert not same(first, shared)
    assert same(shared[1:2], draw([2], 9))
    assert not same(draw([2], 9), draw([2], 10))
    assert not same(draw([2], 9), generator.generate([2], output="img"))


@pytest.mark.parametrize("max_batch", [2, 8])
def test_given_noise(bundle: Path, max_batch: int) -> None:
    seeds = [1, 2, 3]
    with Generator.open(bundle, provider="cpu", max_batch=max_batch) as generator:
        ws = generator.map(make_z(seeds, generator.spec.z_dim))
        own = generator.bundle.read_noise()
        nothing = {name: np.zeros_like(field) for name, field in own.items()}
        const, none = (
            generator.synthesize(ws, noise_mode=mode, output="img") for mode in ("const", "none")
        )
        assert same(const, generator.synthesize(ws, noise=own, output="img"))
        assert same(none, generator.synthesize(ws, noise=nothing, output="img"))
        mixed = {name: np.concatenate([own[name], nothing[name], own[name]]) for name in own}
        got = generator.synthesize(ws, noise=mixed, output="img")
        in_one = {
            **mixed,
            "noise_b4_conv1": own["noise_b4_conv1"],
        }  # shared among others that are not
        shared = generator.synthesize(ws, noise=in_one, output="img")
    assert same(np.stack([const[0], none[1], const[2]]), got)
    assert not same(const, none)
    assert same(got[[0, 2]], shared[[0, 2]])
    assert not same(got[1:2], shared[1:2])


def test_psi_per_image_and_per_layer(generator: Generator) -> None:
    layers, seeds = generator.spec.num_ws, [1, 2, 3]
    z = make_z(seeds, generator.spec.z_dim)
    mean = np.broadcast_to(generator.w_avg, (3, layers, generator.spec.w_dim))
    full = generator.map(z, truncation_psi=1)
    assert same(mean, generator.map(z, truncation_psi=0))
    for psi in (np.array([0.2, 0.5, 1.5]), np.linspace(-1, 1, 3 * layers).reshape(3, layers)):
        expected = mean + psi.reshape(3, -1, 1).astype(np.float32) * (full - mean)
        assert same(expected, generator.map(z, truncation_psi=psi))
    column = generator.map(z, truncation_psi=[[0.2], [0.5], [1.5]])
    assert same(column, generator.map(z, truncation_psi=[0.2, 0.5, 1.5]))


def test_the_cutoff_leaves_later_layers_as_they_are(generator: Generator) -> None:
    layers = generator.spec.num_ws
    z = make_z([1], generator.spec.z_dim)
    full, cut = generator.map(z), generator.map(z, truncation_psi=0.5, truncation_cutoff=3)
    assert same(generator.map(z, truncation_psi=0.5)[:, :3], cut[:, :3])
    assert same(full[:, 3:], cut[:, 3:])
    assert same(full, generator.map(z, truncation_psi=0.5, truncation_cutoff=0))
    at_the_end = generator.map(z, truncation_psi=0.5, truncation_cutoff=layers)
    assert same(generator.map(z, truncation_psi=0.5), at_the_end)


def test_classes_and_soft_labels(conditional: Generator) -> None:
    eye = np.eye(5, dtype=np.float32)
    per_image = conditional.generate([1, 2], class_idx=[4, 0], output="img")
    assert same(per_image, conditional.generate([1, 2], labels=eye[[4, 0]], output="img"))
    for both in ({"class_idx": 4}, {"class_idx": np.int64(4)}, {"labels": eye[4]}):
        shared = conditional.generate([1, 2], **both, output="img")
        assert same(per_image[:1], shared[:1])
        assert not same(per_image[1:], shared[1:])
    half = conditional.generate([1], labels=[0.5, 0, 0, 0, 0.5], output="img")
    assert not same(per_image[:1], half)


def test_gray_images_keep_their_channel(bundle_of: Callable[[str], Path]) -> None:
    with stylert.open(bundle_of("sg2-gray-64")) as generator:
        assert generator.generate([1]).shape == (1, 64, 64, 1)
        assert generator.generate([1], output="img").shape == (1, 1, 64, 64)


# --- What is refused.

REFUSED_BY_GENERATE: list[tuple[dict[str, Any], str]] = [
    *(
        ({"seeds": seeds}, "seeds: got ")
        for seeds in (
            *(-1, 2**32, 10**5000, 1.5, "7", b"7", "", True, None, [], [1, None], [[1, 2]]),
            *(np.zeros((2, 2), int), np.array(1.5), np.array([True]), np.array([], int), {}),
            np.ones((300, 300), int),
        )
    ),
    *(
        ({"truncation_psi": psi}, "truncation_psi: got ")
        for psi in (
            *(np.nan, np.inf, 1e300, "0.7", True, 1j, object(), 10**400),
            *([0.5] * 3, np.ones((2, 3)), np.ones((1, 2, 8)), [[1.0], [1.0, 2.0]], []),
            np.full(3000, None),
        )
    ),
    *(
        ({"truncation_cutoff": cutoff}, "truncation_cutoff: got ")
        for cutoff in (-1, 9, 10**5000, 1.0, True, "2", [1])
    ),
    *(({"class_idx": index}, "class_idx: got ") for index in (0, [0, 0])),
    *(({"labels": labels}, "labels: got ") for labels in (np.eye(2), [1.0], 0)),
    *(({"noise_mode": mode}, "noise_mode: got ") for mode in ("random", "", None, 3, ["const"])),
    *(
        ({"noise_mode": "seeded", "noise_seed": seed}, "noise_seed: got ")
        for seed in (-1, 2**32, 1.5, True, "1", [], [1, 2, 3], np.zeros((2, 2), int))
    ),
    *(({"noise_mode": mode, "noise_seed": 1}, "noise_seed: got ") for mode in ("const", "none")),
    *(
        ({"output": output}, "output: got ")
        for output in ("png", "", None, ["img"], np.array(["img", "image"]))
    ),
]


@pytest.mark.parametrize(("options", "message"), REFUSED_BY_GENERATE)
def test_generate_refuses(
    generator: Generator, refuses: Any, options: dict[str, Any], message: str
) -> None:
    with refuses(message, "expected "):
        generator.generate(**{"seeds": [1, 2]} | options)


def test_without_a_class_every_seed_has_one(conditional_bundle: Path) -> None:
    """It is told once, and what each seed draws does not depend on the others."""
    with Generator.open(conditional_bundle, provider="cpu", threads=1) as opened:
        with pytest.warns(StylertWarning, match=r"class seed mod 5. Choose one of 0 to 4") as told:
            images = opened.generate([7, 3, 10])
        assert len(told) == 1
        ws = opened.styles([7, 3])  # another warning would be an error here
        expected = opened.generate([7, 3, 10], class_idx=[2, 3, 0])
        assert np.array_equal(images, expected)
        assert np.array_equal(ws, opened.styles([7, 3], class_idx=[2, 3]))
        walk = list(opened.interpolate([7, 3], frames=2))
        assert np.array_equal(walk, list(opened.interpolate([7, 3], frames=2, class_idx=[2, 3])))
        with pytest.raises(InvalidInput, match="c: got None"):
            opened.map(np.zeros((1, 64), np.float32))


REFUSED_BY_A_CONDITIONAL: list[tuple[dict[str, Any], str]] = [
    ({"class_idx": 0, "labels": np.eye(5)[0]}, "class_idx, labels: got both"),
    *(
        ({"class_idx": index}, "class_idx: got ")
        for index in (-1, 5, 1.0, True, "0", [], [0, 1, 2], [0, 5], np.zeros((2, 2), int))
    ),
    *(
        ({"labels": labels}, "labels: got ")
        for labels in (
            *(1.0, np.ones(4), np.ones((3, 5)), np.ones((2, 4)), np.ones((1, 2, 5)), "0.5"),
            *(np.ones(5, complex), np.full(5, np.nan), [1.0, None], [[1.0], 1.0]),
        )
    ),
]


@pytest.mark.parametrize(("options", "message"), REFUSED_BY_A_CONDITIONAL)
def test_generate_refuses_labels(
    conditional: Generator, refuses: Any, options: dict[str, Any], message: str
) -> None:
    with refuses(message, "expected "):
        conditional.generate([1, 2], **options)


WRONG_FLOATS = (None, "z", 1, 1.0, [[1.0], [1.0, 2.0]], object())


@pytest.mark.parametrize(
    "z",
    [
        *WRONG_FLOATS,
        *(np.ones(64), np.ones((1, 63)), np.ones((1, 1, 64)), np.ones((0, 64)), np.ones((64, 1))),
        *(np.ones((1, 64), int), np.ones((1, 64), complex), np.ones((1, 64), bool)),
        *(np.full((1, 64), np.nan), np.full((1, 64), -np.inf), np.full((1, 64), 1e300)),
    ],
)
def test_map_refuses_latents(generator: Generator, refuses: Any, z: Any) -> None:
    with refuses("z: got ", "expected "):
        generator.map(z)


@pytest.mark.parametrize("c", [None, np.ones(4), np.ones((3, 5)), np.ones(5, complex), "a", 1])
def test_map_refuses_labels(conditional: Generator, refuses: Any, c: Any) -> None:
    with refuses("c: got ", "expected "):
        conditional.map(np.ones((2, 64), np.float32), c)


def test_map_refuses_labels_for_an_unconditional_generator(
    generator: Generator, refuses: Any
) -> None:
    with refuses("c: got array([1., 1.])", "expected None: this generator is unconditional"):
        generator.map(np.ones((2, 64), np.float32), np.ones(2))


@pytest.mark.parametrize(
    "ws",
    [
        *WRONG_FLOATS,
        *(np.ones((8, 64)), np.ones((1, 64)), np.ones((1, 7, 64)), np.ones((1, 8, 63))),
        *(np.ones((0, 8, 64)), np.ones((1, 8, 64), int), np.full((1, 8, 64), np.nan)),
    ],
)
def test_synthesize_refuses_styles(generator: Generator, refuses: Any, ws: Any) -> None:
    with refuses("ws: got ", "expected "):
        generator.synthesize(ws)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"noise_b8_conv1": None}, "noise_b8_conv1: got None, expected floats."),
        ({"noise_b8_conv1": np.ones((1, 1, 8, 8), int)}, "noise_b8_conv1: got dtype int"),
        ({"noise_b8_conv1": np.ones((1, 1, 8, 9))}, "noise_b8_conv1: got shape (1, 1, 8, 9)"),
        ({"noise_b8_conv1": np.ones((3, 1, 8, 8))}, "noise_b8_conv1: got shape (3, 1, 8, 8)"),
        ({"noise_b8_conv1": np.ones((8, 8))}, "noise_b8_conv1: got shape (8, 8)"),
        ({"noise_b8_conv1": np.full((1, 1, 8, 8), np.inf)}, "noise_b8_conv1: got NaN or inf"),
        ({"noise_b64_conv1": np.ones((1, 1, 64, 64))}, "noise: got 'noise_b64_conv1', expected"),
        ({7: np.ones(1)}, "noise: got 7, expected"),
    ],
)
def test_synthesize_refuses_noise(
    generator: Generator, refuses: Any, change: dict[Any, Any], message: str
) -> None:
    noise = {**generator.bundle.read_noise(), **change}
    with refuses(message, "expected "):
        generator.synthesize(np.ones((2, 8, 64), np.float32), noise=noise)


@pytest.mark.parametrize("noise", [{}, [], np.ones((1, 1, 8, 8)), "const", 1])
def test_synthesize_refuses_noise_without_names(
    generator: Generator, refuses: Any, noise: Any
) -> None:
    with refuses("noise: ", "expected "):
        generator.synthesize(np.ones((2, 8, 64), np.float32), noise=noise)


@pytest.mark.parametrize("options", [{"noise_mode": "none"}, {"noise_mode": "seeded"}])
def test_synthesize_refuses_two_kinds_of_noise(
    generator: Generator, refuses: Any, options: dict[str, Any]
) -> None:
    noise_seed = [1, 2] if options["noise_mode"] == "seeded" else None
    with refuses("noise: got arrays and noise_mode", "expected one of the two"):
        generator.synthesize(
            np.ones((2, 8, 64), np.float32),
            noise=generator.bundle.read_noise(),
            noise_seed=noise_seed,
            **options,
        )


def test_synthesize_needs_a_seed_for_seeded_noise(generator: Generator, refuses: Any) -> None:
    with refuses("noise_seed: got None", "expected one for all images or one per image"):
        generator.synthesize(np.ones((2, 8, 64), np.float32), noise_mode="seeded")
    for rows, expected in ((1, "expected 1."), (3, "expected 1 or 3.")):
        ws = np.ones((rows, 8, 64), np.float32)
        with refuses(f"noise_seed: got 2 seeds, {expected}"):
            generator.synthesize(ws, noise_mode="seeded", noise_seed=[1, 2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *(({"threads": n}, "threads: got ") for n in (0, -1, 1.0, True, "2", 10**6, 2**64)),
        *(({"max_batch": n}, "max_batch: got ") for n in (0, -1, 8.0, True, "8", None)),
        *(({"provider": name}, "provider: got ") for name in ("tpu", "CPU", "", None)),
        *(({"backend": name}, "backend: got ") for name in ("torch", "", None)),
        *(({"trust_engines": word}, "trust_engines: got ") for word in ("0", "no", 1, None)),
        ({"check_files": "no"}, "check_files: got 'no'"),
    ],
)
def test_open_refuses(bundle: Path, refuses: Any, options: dict[str, Any], message: str) -> None:
    with refuses(message, "expected "):
        Generator.open(bundle, **options)


def test_open_refuses_a_wrong_count_before_it_opens_a_session(
    bundle: Path, refuses: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []
    monkeypatch.setattr("stylert.runtime.backends.open_session", opened.append)
    with refuses("max_batch: got 0, expected "):
        Generator.open(bundle, max_batch=0)
    assert not opened


@pytest.mark.parametrize("path", [None, 3, ["bundle"], np.zeros((2, 2))])
def test_open_refuses_what_is_no_path(refuses: Any, path: Any) -> None:
    with refuses("path: got ", "expected the directory of a bundle"):
        stylert.open(path)


def test_open_needs_a_bundle(tmp_path: Path, refuses: Any) -> None:
    with refuses("No bundle at ", "stylert export", error=BundleError):
        stylert.open(tmp_path / "nothing")


# --- What runs.


def test_open_says_what_it_chose_and_why(bundle: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.INFO, "stylert"),
        Generator.open(bundle, provider="cpu", threads=1) as generator,
    ):
        assert generator.choice == "onnxruntime on cpu, fp32, 1 thread: as asked"
        assert caplog.messages == [generator.choice]
        found = generator.describe()
        assert found["choice"] == generator.choice
        assert (found["backend"], found["provider"], found["threads"]) == ("onnxruntime", "cpu", 1)
        assert found["precision"] == "fp32"
        assert repr(generator) == f"<Generator stylegan2 32x32x3, {generator.choice}>"
    assert repr(generator) == "<Generator stylegan2 32x32x3, closed>"


def test_the_mean_latent_cannot_be_changed_from_outside(generator: Generator) -> None:
    generator.w_avg[:] = 0
    assert generator.w_avg.any()


# --- Threads, and close.


class FakeSession:
    """A session whose calls wait until it is told to go on."""

    max_batch = 1000

    def __init__(self) -> None:
        self.started, self.go_on = threading.Event(), threading.Event()
        self.closed = 0

    def run(self, graphs: Any, feeds: Feeds, outputs: Any, **options: Any) -> list[np.ndarray]:
        assert not self.closed
        self.started.set()
        assert self.go_on.wait(30)
        assert not self.closed
        return [np.zeros((feeds.count, 32, 32, 3), np.uint8)]

    def describe(self) -> dict[str, Any]:
        return {}

    def refit(self, bundle: Bundle) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self.closed += 1


def test_close_lets_a_call_that_runs_end_well(bundle: Path) -> None:
    session = FakeSession()
    generator = Generator(Bundle.open(bundle), session, max_batch=1)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(generator.generate, [1, 2, 3])  # three calls of the session
        assert session.started.wait(30)
        generator.close()
        with pytest.raises(EngineError, match="closed"):
            generator.generate([1])
        assert not session.closed
        session.go_on.set()
        assert call.result(30).shape == (3, 32, 32, 3)
    assert session.closed == 1
    generator.close()
    assert session.closed == 1


def test_an_error_of_the_session_does_not_keep_it_open(bundle: Path) -> None:
    session = FakeSession()
    generator = Generator(Bundle.open(bundle), session)
    session.run = lambda *_, **__: 1 / 0  # type: ignore[method-assign, assignment]
    with pytest.raises(ZeroDivisionError):
        generator.generate([1])
    generator.close()
    assert session.closed == 1


def test_after_close_every_call_is_an_error(bundle: Path) -> None:
    with Generator.open(bundle, provider="cpu") as generator:
        ws = generator.map(np.ones((1, 64), np.float32))
    generator.close()  # once more does no harm
    for call in (
        lambda: generator.generate([1]),
        lambda: generator.map(np.ones((1, 64), np.float32)),
        lambda: generator.synthesize(ws),
        generator.describe,
    ):
        with pytest.raises(EngineError, match=r"closed. Open it again: stylert.open\(path\)$"):
            call()


def test_threads_draw_what_one_thread_draws(generator: Generator) -> None:
    calls = [(seed, mode) for mode in NOISE_MODES for seed in range(8)]

    def draw(call: tuple[int, Any]) -> np.ndarray:
        seed, mode = call
        return generator.generate([seed, seed + 1], noise_mode=mode)

    serial = [draw(call) for call in calls]
    with ThreadPoolExecutor(8) as pool:
        for expected, got in zip(serial, pool.map(draw, calls), strict=True):
            assert np.array_equal(expected, got)


def test_close_in_the_middle_of_many_calls(bundle: Path) -> None:
    generator = Generator.open(bundle, provider="cpu", max_batch=1)
    expected = generator.generate([1, 2, 3])
    running = threading.Barrier(5)

    def draw() -> int:
        running.wait(30)
        for drawn in range(1000):
            try:
                assert np.array_equal(expected, generator.generate([1, 2, 3]))
            except EngineError:
                return drawn
        raise AssertionError("close did not end the calls")

    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(draw) for _ in range(4)]
        running.wait(30)
        generator.close()
        assert all(call.result(60) >= 0 for call in calls)


def test_memory_stays_flat(bundle_of: Callable[[str], Path]) -> None:
    process = psutil.Process()
    with Generator.open(bundle_of("sg2-fp16-64"), provider="cpu") as generator:
        for chunk in range(32):  # if the noise or the images of each stayed: 10 MB each
            generator.generate(range(8 * chunk, 8 * chunk + 8), noise_mode="seeded", output="img")
            if chunk == 0:
                gc.collect()
                before = process.memory_info().rss
        gc.collect()
        assert process.memory_info().rss - before < 5e6
