"""Classes and labels: what a class, its name, a mix of classes, or none of them mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stylert.runtime.arguments import one_or, shown
from stylert.runtime.errors import InvalidInput
from stylert.runtime.latents import check_floats, check_seeds, list_values

__all__ = ["Classes"]

_MOST_SHOWN = 6  # names in a message


@dataclass(frozen=True)
class Classes:
    """The classes of a generator.

    Attributes:
        count: c_dim; 0 = unconditional.
        names: of all of them, or empty where they are not known.
        apart: they cannot be mixed: the network looks each up in a table (StyleGAN-XL).
    """

    count: int
    names: tuple[str, ...] = ()
    apart: bool = False

    @property
    def range(self) -> str:
        """What may be said for a class, in words: "'cat', 'dog', or 0 to 1"."""
        numbers = f"0 to {self.count - 1}"
        if not self.names:
            return numbers
        more = ", ..." if len(self.names) > _MOST_SHOWN else ""
        return f"{', '.join(map(repr, self.names[:_MOST_SHOWN]))}{more}, or {numbers}"

    def find(self, classes: Any, *, name: str = "class_idx") -> list[int]:
        """The numbers of classes.

        Args:
            classes: one or several numbers or names.
            name: of the argument, for the message.

        Raises:
            InvalidInput: one that is not there, or none at all.
        """
        found = [self._find_one(one, name) for one in list_values(classes)]
        return check_seeds(found, name=name, largest=self.count - 1)

    def make_labels(
        self,
        class_idx: Any,
        labels: Any,
        *,
        batch: int,
        seeds: Sequence[int] | None = None,
    ) -> np.ndarray | None:
        """The conditioning labels of a batch: one-hot of a class, or soft labels as they are.

        Args:
            class_idx: one class for all images, or one per image: numbers or names.
            labels: soft labels [count] for all images, or [N, count]; or a mix of classes by their
                weights, {3: 0.7, 'cat': 0.3}.
            batch: N.
            seeds: of the images: with neither, an image's class is its seed mod `count`.

        Returns:
            [N, count] float32, or None for an unconditional generator.

        Raises:
            InvalidInput: a class that is not there, labels of another shape, both of them, or
                neither without seeds.
        """
        if class_idx is None and (labels is not None or self.count == 0):
            return self.make_soft_labels(labels, batch=batch)
        if self.count == 0:
            raise _refuse_condition("class_idx", class_idx)
        if labels is not None:
            raise InvalidInput("class_idx, labels: got both, expected one of them.")
        if class_idx is None and seeds is None:
            raise InvalidInput(
                f"class_idx, labels: got neither, expected a class of {self.range}, or labels "
                f"[N, {self.count}]."
            )
        if class_idx is None:
            class_idx = [seed % self.count for seed in seeds or ()]
        classes = self.find(class_idx)
        if len(classes) not in (1, batch):
            raise InvalidInput(f"class_idx: got {len(classes)} classes, expected {one_or(batch)}.")
        rows = np.eye(self.count, dtype=np.float32)[classes]
        return np.array(np.broadcast_to(rows, (batch, self.count)))

    def make_soft_labels(
        self, labels: Any, *, batch: int, name: str = "labels"
    ) -> np.ndarray | None:
        """Soft labels: [count] for all images or [N, count] numbers, as [N, count] float32.

        A mix of classes by their weights, such as {3: 0.7, 'cat': 0.3}, is one for all images.

        Returns:
            None for an unconditional generator.

        Raises:
            InvalidInput: labels of another shape or dtype, none for a conditional generator, or
                some for an unconditional one; or a mix of classes that are apart.
        """
        if self.count == 0:
            if labels is not None:
                raise _refuse_condition(name, labels)
            return None
        expected = f"({self.count},) or ({batch}, {self.count})"
        if labels is None:
            raise InvalidInput(f"{name}: got None, expected numbers of shape {expected}.")
        if isinstance(labels, Mapping):
            labels = self._mix_classes(name, labels)
        rows = check_floats(name, labels, kinds="fiub")
        if rows.shape not in ((self.count,), (1, self.count), (batch, self.count)):
            raise InvalidInput(f"{name}: got shape {rows.shape}, expected {expected}.")
        if self.apart and not _choose_one(rows):
            raise InvalidInput(
                f"{name}: got a mix of classes, expected one class, a 1 among 0: this generator "
                "looks classes up in a table, so a mix means nothing to it. Blend styles instead: "
                "interpolate between classes."
            )
        return np.array(np.broadcast_to(rows, (batch, self.count)))

    def _find_one(self, one: Any, name: str) -> Any:
        if not isinstance(one, str):
            return one
        if one in self.names:
            return self.names.index(one)
        raise InvalidInput(f"{name}: got {shown(one)}, expected {self.range}.")

    def _mix_classes(self, name: str, weights: Mapping[Any, Any]) -> np.ndarray:
        """One label [count] for a mix of classes; its sum is 1, as that of a class."""
        classes = self.find(list(weights), name=name)
        values = check_floats(name, list(weights.values()), kinds="fiu").astype(np.float64)
        if values.ndim != 1 or (values < 0).any() or not values.sum() > 0:
            raise InvalidInput(f"{name}: got {shown(weights)}, expected weights above 0 by class.")
        label = np.zeros(self.count)
        np.add.at(label, classes, values / values.sum())
        return label.astype(np.float32)


def _refuse_condition(name: str, value: Any) -> InvalidInput:
    return InvalidInput(
        f"{name}: got {shown(value)}, expected None: this generator is unconditional."
    )


def _choose_one(rows: np.ndarray) -> bool:
    """Whether each row is a single 1 among zeros."""
    return bool(((rows != 0).sum(axis=-1) == 1).all() and (rows.max(axis=-1) == 1).all())
