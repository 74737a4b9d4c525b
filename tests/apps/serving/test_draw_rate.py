"""How long a client is told to wait: by how fast images are drawn while some are."""

from __future__ import annotations

from stylert.apps.serving.draw_rate import DrawRate


def rate_of(*calls: tuple[int, float]) -> DrawRate:
    rate = DrawRate()
    for images, seconds in calls:
        rate.add(images, seconds)
    return rate


def test_it_is_images_over_the_seconds_of_their_calls() -> None:
    rate = rate_of((8, 2.0), (4, 1.0))
    assert rate.seconds_for(4) == 1
    assert rate.seconds_for(40) == 10
    assert rate.seconds_for(41) == 11  # rounded up: who comes early is refused again


def test_steps_towards_images_take_their_time_too() -> None:
    assert rate_of((0, 1.0), (4, 1.0)).seconds_for(40) == 20


def test_it_is_between_a_second_and_a_minute() -> None:
    rate = rate_of((8, 2.0))
    assert rate.seconds_for(0) == 1
    assert rate.seconds_for(10**9) == 60


def test_before_the_first_image_it_is_a_second() -> None:
    assert DrawRate().seconds_for(256) == 1
    assert rate_of((0, 5.0)).seconds_for(256) == 1


def test_it_forgets_a_slow_start() -> None:
    rate = rate_of((1, 60.0), *[(8, 2.0)] * 32)
    assert rate.seconds_for(40) == 10
