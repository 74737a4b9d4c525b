"""The principal components of w that clients move along: found when they are first asked for."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np

from stylert.runtime.bundle import GeneratorSpec
from stylert.runtime.control.pca import PrincipalComponents
from stylert.runtime.errors import InvalidInput

__all__ = ["Components", "component_names", "is_component"]

_MOST = 20  # as many as SeFa has in a set
_KEPT = 64  # classes; their components are some kB each
_NAME = re.compile(r"pca:[0-9]{1,9}")


def component_names(spec: GeneratorSpec) -> list[str]:
    """What the components are called, the strongest first: 'pca:0', 'pca:1', ..."""
    return [f"pca:{i}" for i in range(min(_MOST, spec.w_dim))]


def is_component(name: str) -> bool:
    """Whether a direction's name is that of a component, there or not."""
    return _NAME.fullmatch(name) is not None


class Components:
    """The components of `Generator.pca` by class, found once; the least used are forgotten."""

    def __init__(self, spec: GeneratorSpec) -> None:
        self._names = component_names(spec)
        self._found: OrderedDict[int | None, PrincipalComponents] = OrderedDict()
        self._lock = threading.Lock()

    def direction(
        self, name: str, class_idx: int | None, pca: Callable[..., PrincipalComponents]
    ) -> np.ndarray:
        """The direction of a component.

        Args:
            name: such as 'pca:0'.
            class_idx: the class of the images; None = of an unconditional generator.
            pca: `Generator.pca`, or what does as it does.

        Returns:
            [w_dim] float32: a standard deviation of w.

        Raises:
            InvalidInput: there are not so many, or the class does not fit.
            EngineError: the backend failed.
        """
        index = int(name.removeprefix("pca:"))
        if index >= len(self._names):
            raise InvalidInput(f"directions: got {name!r}, expected up to {self._names[-1]!r}.")
        with self._lock:  # who asks for the same meanwhile waits for it
            if class_idx not in self._found:
                self._found[class_idx] = pca(k=len(self._names), class_idx=class_idx)
            self._found.move_to_end(class_idx)
            if len(self._found) > _KEPT:
                self._found.popitem(last=False)
            return self._found[class_idx].direction(index)
