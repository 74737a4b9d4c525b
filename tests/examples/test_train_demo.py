"""The demo's training: its pictures, its steps, and what it publishes. A tiny network, seconds."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from stylert.examples.train_demo import __main__ as command_line
from stylert.examples.train_demo.canvas import box, circle, convex, ellipse, line, moved, rainbow
from stylert.examples.train_demo.dataset import (
    CLASSES,
    PAINT,
    SHAPE,
    TRAITS,
    Pictures,
    draw,
    draw_pictures,
)
from stylert.examples.train_demo.discriminator import GROUP, Discriminator, minibatch_deviation
from stylert.examples.train_demo.features import Reader, read
from stylert.examples.train_demo.generator import (
    grow_generator,
    make_config,
    mix_styles,
)
from stylert.examples.train_demo.guidance import (
    Z_DIM,
    draw_mixed,
    find_choices,
    guidance_loss,
)
from stylert.examples.train_demo.losses import (
    discriminator_loss,
    feature_distance,
    gradient_penalty,
    path_lengths,
)
from stylert.examples.train_demo.publishing import thin_out
from stylert.examples.train_demo.quality import mean_distance, measure_quality
from stylert.examples.train_demo.training import Settings, Training
from stylert.export.checkpoints import StyleGAN2Config, read_checkpoint
from stylert.export.models.stylegan2 import StyleGAN2

TINY = Settings(
    channels=(16, 8, 8),
    d_channels=(16, 8),
    width=16,
    batch=8,
    grow_at=(16,),
    adversarial_at=24,
    r1_interval=2,
    path_weight=2.0,
    path_interval=3,
)


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    return draw_pictures(192, seed=3, size=16)


# The pictures.


def test_pictures_depend_on_the_seed_and_on_nothing_else() -> None:
    few, many, other = (draw_pictures(n, seed=seed) for n, seed in ((70, 5), (130, 5), (70, 6)))
    for name in ("images", "labels", "traits"):
        assert np.array_equal(getattr(few, name), getattr(many, name)[:70])
    assert few.images.shape == (70, 3, 64, 64)
    assert few.traits.shape == (70, TRAITS)
    assert (few.images != other.images).any(axis=(1, 2, 3)).all()


def test_every_class_is_drawn_and_looks_like_no_other(pictures: Pictures) -> None:
    """The nearest of the classes' mean edge maps tells a picture's class far above chance."""
    data = draw_pictures(720, seed=8)
    grey = data.images.astype(np.float32).mean(axis=1)
    edges = np.abs(np.diff(grey, axis=1))[:, :, :-1] + np.abs(np.diff(grey, axis=2))[:, :-1]
    edges = edges.reshape(720, 9, 7, 9, 7).mean(axis=(2, 4)).reshape(720, -1)
    edges /= np.linalg.norm(edges, axis=1, keepdims=True)
    known, asked = slice(0, 480), slice(480, 720)
    means = np.stack(
        [edges[known][data.labels[known] == label].mean(axis=0) for label in range(len(CLASSES))]
    )
    nearest = (edges[asked] @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T).argmax(1)
    right = (nearest == data.labels[asked]).mean()
    assert right > 0.6, right
    counts = np.bincount(data.labels, minlength=len(CLASSES))
    assert counts.min() > 60


def test_pictures_of_a_class_differ_in_shape_and_colour() -> None:
    data = draw_pictures(300, seed=9)
    for label in range(len(CLASSES)):
        images = data.images[data.labels == label].astype(np.float32)
        colours = images.mean(axis=(2, 3))  # [N, 3]
        assert colours.std(axis=0).min() > 15
        assert images.mean(axis=1).std(axis=0).mean() > 20  # grey values at one place


def test_a_smaller_picture_is_the_larger_one_seen_from_afar() -> None:
    large, small = (draw_pictures(8, seed=2, size=size).images for size in (64, 16))
    shrunk = large.reshape(8, 3, 16, 4, 16, 4).mean(axis=(3, 5))
    assert np.abs(shrunk - small).mean() < 5


def test_distances_are_negative_inside_and_grow_by_one_per_unit() -> None:
    x, y = np.meshgrid(np.linspace(-1, 1, 64), np.linspace(-1, 1, 64))
    grid = (x[None], y[None])
    shapes = {
        "circle": circle(grid, 0.5),
        "ellipse": ellipse(grid, 0.6, 0.3),
        "box": box(grid, 0.5, 0.3, rounded=0.1),
        "line": line(moved(grid, x=-0.3), (0.6, 0.0), 0.1),
        "convex": convex(grid, (-0.5, 0.5), (0.0, -0.5), (0.5, 0.5)),
    }
    for name, distance in shapes.items():
        assert distance[0, 32, 32] < 0, name
        assert distance[0, 0, 0] > 0, name
        rim = np.abs(distance[0]) < 0.05
        slope = np.hypot(*np.gradient(distance[0], 2 / 63))[rim]
        assert np.median(slope) == pytest.approx(1, abs=0.05), name


def test_a_turned_shape_is_turned_clockwise() -> None:
    x, y = np.meshgrid(np.linspace(-1, 1, 64), np.linspace(-1, 1, 64))
    turned = moved((x[None], y[None]), turn=np.pi / 4)
    inside = line(turned, (1.0, 0.0), 0.05)[0] < 0  # it pointed to the right
    assert inside[48, 48]
    assert not inside[16, 48]


def test_colours_go_round_the_circle() -> None:
    ones = np.ones(4, np.float32)
    hues = np.array([0, 1 / 3, 2 / 3, 1], np.float32)
    expected = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]
    np.testing.assert_allclose(rainbow(hues, ones, ones), expected, atol=1e-6)


# The guidance.


def test_choices_are_uniform_and_the_length_of_z_does_not_matter() -> None:
    z = torch.randn(4000, Z_DIM, generator=torch.Generator().manual_seed(0))
    shape, paint = find_choices(z)
    assert shape.shape == (4000, SHAPE)
    assert paint.shape == (4000, PAINT)
    both = torch.cat([shape, paint], dim=1)
    deciles = (both[:, :, None] < torch.linspace(0.1, 0.9, 9)).float().mean(dim=0)
    np.testing.assert_allclose(deciles, torch.linspace(0.1, 0.9, 9).expand(Z_DIM, 9), atol=0.03)
    torch.testing.assert_close(torch.cat(find_choices(z * 7), dim=1), both)


def test_a_mixed_picture_has_the_shape_of_one_and_the_paint_of_the_other() -> None:
    random = torch.Generator().manual_seed(1)
    one, two = torch.randn(2, 6, Z_DIM, generator=random)
    labels = torch.arange(6)
    mixed = draw_mixed(labels, one, two, size=32)
    shape, paint = find_choices(one)[0].numpy(), find_choices(two)[1].numpy()
    for label in range(6):
        rows = slice(label, label + 1)
        expected, _ = draw(label, shape[rows], paint[rows], size=32)
        np.testing.assert_allclose(mixed[rows], expected.astype(np.float32) / 127.5 - 1)
    assert (mixed - draw_mixed(labels, one, one, size=32)).abs().mean() > 0.1
    assert (mixed - draw_mixed(labels, two, two, size=32)).abs().mean() > 0.05


def test_the_guidance_sees_a_wrong_tone_at_every_size_and_noise_at_one() -> None:
    wanted = torch.zeros(2, 3, 16, 16)
    assert float(guidance_loss(wanted + 0.5, wanted, largest=16)) == pytest.approx(0.5)
    checks = torch.ones(16, 16)
    checks[::2, ::2] = checks[1::2, 1::2] = -1
    assert float(guidance_loss(wanted + checks / 2, wanted, largest=16)) == pytest.approx(0.5 / 3)
    assert float(guidance_loss(wanted + checks / 2, wanted, largest=8)) == pytest.approx(0)


def test_the_guidance_teaches_a_tiny_network_in_seconds() -> None:
    training = Training(replace(TINY, grow_at=(0,), adversarial_at=10**9, batch=24, path_weight=0))
    training.step()
    (untrained,) = training._sums["guidance"]
    for _ in range(60):
        training.step()
    assert np.mean(training._sums["guidance"]) < 0.8 * untrained


# The networks.


def config_of(*channels: int) -> StyleGAN2Config:
    return make_config(channels, z_dim=16, width=16, classes=6)


def test_a_grown_generator_draws_what_the_smaller_one_drew() -> None:
    torch.manual_seed(0)
    small = StyleGAN2(config_of(16, 8))
    large = grow_generator(config_of(16, 8, 8), small)
    z, c = torch.randn(2, 16), torch.eye(6)[:2]
    with torch.no_grad():
        before, after = small(z, c, noise="none"), large(z, c, noise="none")
    assert after.shape == (2, 3, 16, 16)
    np.testing.assert_allclose(
        after[:, :, 2:-2, 2:-2].reshape(2, 3, 6, 2, 6, 2).mean(dim=(3, 5)),
        before[:, :, 1:-1, 1:-1],
        atol=float(before.std()) / 2,  # the filter smooths a little
    )
    assert float(after.std()) > 0.5 * float(before.std())


def test_the_trained_and_the_fixed_formulation_of_a_layer_are_one_function() -> None:
    torch.manual_seed(0)
    trained = StyleGAN2(config_of(16, 8))
    fixed = copy.deepcopy(trained).requires_grad_(False)
    z, c = torch.randn(4, 16), torch.eye(6)[:4]
    np.testing.assert_allclose(trained(z, c).detach(), fixed(z, c), atol=2e-5)


def test_style_mixing_takes_coarse_from_one_and_fine_from_the_other() -> None:
    torch.manual_seed(0)
    generator = StyleGAN2(config_of(16, 8))
    z, c = torch.randn(2, 8, 16), torch.eye(6)[torch.arange(8) % 6]
    one, two = generator.mapping(z[0], c), generator.mapping(z[1], c)
    ws = mix_styles(generator, z, c, crossover=3)
    assert ws.shape == one.shape == (8, 4, 16)
    np.testing.assert_allclose(ws[:, :3].detach(), one[:, :3].detach(), atol=1e-6)
    np.testing.assert_allclose(ws[:, 3:].detach(), two[:, 3:].detach(), atol=1e-6)


def test_the_deviation_is_that_of_each_group() -> None:
    x = torch.zeros(8, 3, 4, 4)
    x[[0, 4]] = 2.0  # groups are 0 2 4 6 and 1 3 5 7
    deviation = minibatch_deviation(x)
    assert deviation.shape == (8, 1, 4, 4)
    np.testing.assert_allclose(deviation[::2], 1, rtol=1e-4)
    np.testing.assert_allclose(deviation[1::2], 0, atol=1e-3)


def test_the_logit_depends_on_the_label() -> None:
    torch.manual_seed(0)
    critic = Discriminator((16, 8), 6)
    images = torch.randn(4, 3, 16, 16)
    first, second = critic(images, torch.eye(6)[[0] * 4]), critic(images, torch.eye(6)[[1] * 4])
    assert first.shape == (4,)
    assert (first - second).abs().min() > 1e-3


def test_the_gradient_penalty_is_the_slope() -> None:
    class Slope(Discriminator):
        def forward(self, images: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
            return 3 * images[:, 0, 0, 0] + 4 * images[:, 1, 1, 1]

    penalty = gradient_penalty(Slope((16, 8), 6), torch.randn(4, 3, 16, 16), torch.eye(6)[:4])
    assert float(penalty) == pytest.approx(25)


def test_features_tell_pictures_apart_at_every_size() -> None:
    torch.manual_seed(0)
    critic, images, c = Discriminator((16, 8), 6), torch.randn(4, 3, 16, 16), torch.eye(6)[:4]
    features = critic.features(images)
    assert [tuple(x.shape) for x in features] == [(4, 8, 8, 8), (4, 16, 4, 4)]
    assert torch.equal(critic.judge(features, c), critic(images, c))
    assert feature_distance(features, critic.features(images)).item() == 0
    others = critic.features(-images)
    gaps = [(x - y).abs().mean().item() for x, y in zip(features, others, strict=True)]
    assert feature_distance(features, others).item() == pytest.approx(np.mean(gaps), rel=1e-5)
    assert min(gaps) > 0.1


def test_path_lengths_are_those_of_a_linear_map() -> None:
    ws = torch.randn(5, 2, 8, requires_grad=True)
    images = (ws.sum(dim=1) * 3)[:, None, None, :]  # [5, 1, 1, 8]
    directions = torch.zeros(5, 1, 1, 8)
    directions[..., 0] = 1
    lengths = path_lengths(images, ws, directions)
    np.testing.assert_allclose(lengths.detach(), 3 / np.sqrt(8), rtol=1e-5)


# The training.


def test_training_changes_every_weight_and_keeps_the_average_apart() -> None:
    training = Training(replace(TINY, grow_at=(), adversarial_at=0))
    before = copy.deepcopy([training.generator.state_dict(), training.discriminator.state_dict()])
    for _ in range(3):
        training.step()
    after = [training.generator.state_dict(), training.discriminator.state_dict()]
    for old, new in zip(before, after, strict=True):
        fixed = {name for name in old if torch.equal(old[name], new[name])}
        assert all(
            name.endswith(("resample_filter", "noise_const", "noise_strength")) for name in fixed
        ), fixed
    average = training.average.state_dict()
    weight = "synthesis.b8.conv1.weight"
    assert not torch.equal(average[weight], after[0][weight])
    assert not any(parameter.requires_grad for parameter in training.average.parameters())
    assert training.seen == 24


@pytest.mark.parametrize("stop", [1, 2, 4])  # before and after growth, then with both networks
def test_a_training_goes_on_with_the_very_same_numbers(tmp_path: Path, stop: int) -> None:
    straight = Training(TINY)
    for _ in range(6):
        straight.step()
    stopped = Training(TINY)
    for _ in range(stop):
        stopped.step()
    stopped.save(tmp_path / "state.pt")
    resumed = Training.restore(tmp_path / "state.pt")
    for _ in range(6 - stop):
        resumed.step()
    assert resumed.config.img_shape == straight.config.img_shape == (16, 16)
    for part in ("generator", "average", "discriminator"):
        left, right = getattr(straight, part).state_dict(), getattr(resumed, part).state_dict()
        assert all(torch.equal(left[name], right[name]) for name in left), part
    assert resumed.seen == straight.seen
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]


def test_pictures_whose_deviation_is_measured_together_are_of_one_class() -> None:
    training = Training(replace(TINY, batch=24))
    groups = training._labels().reshape(GROUP, -1)  # as minibatch_deviation groups them
    assert (groups == groups[:1]).all()
    assert sorted(groups[0].tolist()) == list(range(len(CLASSES)))


def test_other_settings_are_recorded() -> None:
    training = Training(TINY)
    training.change({})
    training.change({"learning_rate": 0.001, "grow_at": [32]})
    assert training.settings == replace(TINY, learning_rate=0.001, grow_at=(32,))
    assert training.changes == [
        {"images": 0, "learning_rate": [0.006, 0.001], "grow_at": [(16,), (32,)]}
    ]
    assert training.g_optimizer.param_groups[0]["lr"] == pytest.approx(
        0.001 * 3 / 4
    )  # lazily regularised


def test_trainings_of_two_seeds_differ() -> None:
    one, two = Training(TINY), Training(replace(TINY, seed=2))
    assert not torch.equal(one.generator.mapping.fc0.weight, two.generator.mapping.fc0.weight)


def test_the_discriminator_learns_to_tell_pictures_from_noise(pictures: Pictures) -> None:
    torch.manual_seed(0)
    critic, c = Discriminator((16, 8), 6), torch.eye(6)[torch.arange(24) % 6]
    optimizer = torch.optim.Adam(critic.parameters(), lr=0.01)
    real = torch.from_numpy(pictures.images).float() / 127.5 - 1
    losses = []
    for step in range(21):
        fakes = torch.randn(24, 3, 16, 16)
        loss = discriminator_loss(critic(real[step * 8 :][:24], c), critic(fakes, c))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 3, losses


@pytest.mark.gpu("torch")
def test_it_trains_on_a_gpu_as_on_the_cpu(tmp_path: Path) -> None:
    first = {}
    for device in ("cpu", "cuda"):
        training = Training(TINY, device=device)
        training.step()
        first[device] = training._sums["guidance"][0]
        for _ in range(5):
            training.step()
        training.save(tmp_path / device)
        assert Training.restore(tmp_path / device, device=device).seen == training.seen
    assert first["cuda"] == pytest.approx(first["cpu"], rel=1e-3)


# The figures.


def test_a_collapsed_generator_has_no_diversity(pictures: Pictures) -> None:
    torch.manual_seed(0)
    data = draw_pictures(240, seed=4)
    reader = Reader().eval().requires_grad_(False)
    real = read(reader, data.images)
    real = replace(real, labels=data.labels)
    same = replace(real, features=np.repeat(real.features[:1], 240, axis=0))
    found = measure_quality(same, data.labels, real)
    assert max(found.diversity.values()) < 1e-4
    assert set(found.accuracy.values()) == {1.0}
    assert found.fid > 0
    assert mean_distance(np.array([[0.0, 0], [3, 4]])) == pytest.approx(5)


def test_thinned_curves_keep_the_end() -> None:
    history = [{"images": float(i), "loss": float(-i)} for i in range(250)]
    curves = thin_out(history, 100)
    assert curves["images"][-1] == 249
    assert curves["loss"] == [-i for i in curves["images"]]
    assert 50 < len(curves["images"]) <= 100


def test_the_commands_train_and_publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"channels": (16, 8, 8, 8, 8), "d_channels": (16, 8, 8, 8), "width": 16, "batch": 8}
    monkeypatch.setattr(command_line, "Settings", lambda seed: Settings(seed=seed, **small))
    monkeypatch.setattr(command_line, "READER_PICTURES", 128)
    run, checkpoint = tmp_path / "run", tmp_path / "tiny.safetensors"
    sizes = ["--change", '{"grow_at": [8, 16], "adversarial_at": 16}', "--every", "16"]
    for images in ("16", "24"):  # the second call goes on
        arguments = ["train", str(run), "--images", images, *sizes]
        result = CliRunner().invoke(command_line.app, arguments)
        assert result.exit_code == 0, result.output
    arguments = ["publish", str(run), "--to", str(checkpoint), "--pictures", "96"]
    result = CliRunner().invoke(command_line.app, arguments)
    assert result.exit_code == 0, result.output

    with Image.open(run / "samples-0000k.png") as sheet:
        assert sheet.size == (12 * 64, len(CLASSES) * 64)
    read_back = read_checkpoint(checkpoint)
    assert read_back.config.img_shape == (64, 64)
    assert read_back.config.c_dim == len(CLASSES)
    state = torch.load(run / "state.pt", weights_only=True)
    for name, tensor in read_back.tensors.items():
        expected = state["average"][name].numpy()
        np.testing.assert_array_equal(tensor, expected.astype(np.float16).astype(np.float32))
    record = json.loads(checkpoint.with_suffix(".json").read_text())
    assert record["images_seen"] == 24
    assert record["file"]["name"] == "tiny.safetensors"
    assert record["file"]["bytes"] == checkpoint.stat().st_size
    assert set(record["quality"]["diversity_psi_0.7"]) == set(CLASSES)
    assert record["quality"]["fid_psi_1"] > record["quality"]["fid_of_more_drawn_pictures"]
