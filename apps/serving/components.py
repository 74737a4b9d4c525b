"""The principal components of w that clients move along: found when they are first asked for."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from stylert.runtime.bundle import GeneratorSpec
from stylert.runtime.control.pca import PrincipalComponents
from stylert.runtime.errors import InvalidInput

__all__ = ["Components", "list_components"]

_MOST = 20  # as many as SeFa has in a set
_KEPT = 64  # classes; their components are some kB each
_NAME = re.compile(r"pca:[0-9]{1,9}")


def list_components(spec: GeneratorSpec) -> list[str]:
    """What the components are called, the strongest first: 'pca:0', 'pca:1', ..."""
    return [f"pca:{i}" for i in range(min(_MOST, spec.w_dim))]


class Components:
    """The components of `Generator.pca` by class, found once; the least used are forgotten."""

    def __init__(self, spec: GeneratorSpec) -> None:
        self._names = list_components(spec)
        self._found: OrderedDict[int | None, PrincipalComponents] = OrderedDict()
        self._lock = threading.Lock()

    def find_direction(
        self, name: str, class_idx: Any, labels: Any, pca: Callable[..., PrincipalComponents]
    ) -> str | np.ndarray:
        """What `Generator.edit` takes for a name, which may be that of a component of a class.

        Args:
            name: such as 'pca:0', or 'sefa_coarse_0' of the bundle.
            class_idx: the class of the images; None = of all.
            labels: of the images; components are of classes.
            pca: `Generator.pca`.

        Returns:
            the name, or [w_dim] float32: a standard deviation of w.

        Raises:
            InvalidInput: there is no such component, or it is none of a class.
            EngineError: the backend failed.
        """
        if _NAME.fullmatch(name) is None:
            return name
        if labels is not None or isinstance(class_idx, list):
            raise InvalidInput(f"directions: got {name!r}, expected class_idx, one for all images.")
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
