"""What type checkers see of the face: which arrays come back, and what opens a bundle."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any, get_overloads

import pytest

import stylert
from stylert.runtime import Generator
from stylert.runtime.backends.open_options import OpenOptions
from stylert.runtime.control.pca import PrincipalComponents
from stylert.runtime.control.picture_fitting import PictureGradient


def test_open_async_takes_what_open_takes() -> None:
    taken = inspect.signature(Generator.open).parameters
    hints = {name: taken[name].annotation for name in taken if name != "path"}
    assert hints == {
        name: hint.__forward_arg__ for name, hint in OpenOptions.__annotations__.items()
    }
    (options,) = (
        p
        for p in inspect.signature(stylert.open_async).parameters.values()
        if p.kind == p.VAR_KEYWORD
    )
    assert options.annotation == "Unpack[OpenOptions]"


@pytest.mark.parametrize("of", [Generator, PrincipalComponents, PictureGradient])
def test_arrays_tell_their_numbers(of: type) -> None:
    told: dict[str, Any] = {}
    for name, member in inspect.getmembers(of):
        function = member.fget if isinstance(member, property) else member
        if not name.startswith("_") and inspect.isfunction(function):
            told[name] = function.__annotations__.get("return")
    if dataclasses.is_dataclass(of):
        told |= {field.name: field.type for field in dataclasses.fields(of)}
    assert told
    assert not [name for name, hint in told.items() if "np.ndarray" in str(hint)]


@pytest.mark.parametrize("method", [Generator.generate, Generator.synthesize, Generator.mix])
def test_the_output_chooses_the_numbers(method: Any) -> None:
    hints = [overloaded.__annotations__ for overloaded in get_overloads(method)]
    assert [(hint["output"], hint["return"]) for hint in hints[:2]] == [
        ("Literal['image']", "NDArray[np.uint8]"),
        ("Literal['img']", "NDArray[np.float32]"),
    ]
