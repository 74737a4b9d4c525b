"""Every drawing option reaches Python, the command line, HTTP and data sets."""

from __future__ import annotations

import inspect

import pytest
from typer.main import get_command

from stylert.apps.datasets import DatasetJob, Seeds
from stylert.apps.serving.requests import GenerateRequest
from stylert.cli import app
from stylert.runtime.drawing_options import (
    DrawingOptions,
    MotionOptions,
    PictureOptions,
    StyleOptions,
)
from stylert.runtime.generator import Generator

OPTIONS = [*DrawingOptions.__annotations__]
IN_PYTHON_ALONE = {"noise", "style_offset"}  # arrays of thousands of numbers
NO_OPTIONS = IN_PYTHON_ALONE | {"transform"}  # a matrix has --translate and --rotate


@pytest.mark.parametrize("name", OPTIONS)
def test_python_shows_it(name: str) -> None:
    assert name in inspect.signature(Generator.generate).parameters
    assert name in inspect.signature(Generator.mix).parameters
    texts = (StyleOptions.__doc__, MotionOptions.__doc__, PictureOptions.__doc__)
    assert any(f"        {name}: " in (text or "") for text in texts)


@pytest.mark.parametrize("name", [name for name in OPTIONS if name not in IN_PYTHON_ALONE])
def test_http_takes_it(name: str) -> None:
    assert name in GenerateRequest.model_fields


@pytest.mark.parametrize("name", [name for name in OPTIONS if name not in NO_OPTIONS])
def test_the_command_line_has_it(name: str) -> None:
    command = get_command(app).commands["generate"]  # type: ignore[attr-defined]
    assert name in {parameter.name for parameter in command.params}


def test_data_sets_hand_it_on() -> None:
    options: DrawingOptions = {"truncation_psi": 0.5, "rotate": 3, "noise_mode": "none"}
    job = DatasetJob(seeds=Seeds.parse("1-3"), options=options)
    assert options.items() <= job.make_arguments(range(3)).items()
    assert options.items() <= job.settings().items()


def test_groups_make_the_whole() -> None:
    assert {*StyleOptions.__annotations__, *PictureOptions.__annotations__} == {*OPTIONS}


def test_an_unknown_one_is_an_error_of_python(generator: Generator) -> None:
    for method in (generator.generate, generator.styles, generator.interpolate):
        with pytest.raises(TypeError, match="unexpected keyword argument 'psi', expected one of"):
            method([1, 2], psi=0.5)  # type: ignore[call-overload, call-arg]
