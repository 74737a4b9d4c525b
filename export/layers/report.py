"""What a comparison layer by layer found: a row for each layer, and where each column drifts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stylert.runtime.files.json_files import keep_finite
from stylert.runtime.proof.parity import TOLERANCES, Difference, RoundingError

__all__ = ["LayerReport", "LayerRow"]


@dataclass(frozen=True)
class LayerRow:
    """One layer in all columns. Differences are in units of half the layer's range.

    Attributes:
        layer: the name of the graph's scope: 'b8.conv0'; 'ws' and 'img' are the graphs' outputs.
        shape: of what it hands on, without the batch.
        truth: what it is compared with: 'float64', or the graph 'fp32' where the reference has no
            such tensor.
        error: how far the reference in float32 is from float64, None = it has no such tensor.
        found: the worst picture by column: 'fp32', 'fp16', 'engine'.
        precisions: of the columns: 'fp32' or 'fp16'.
    """

    layer: str
    shape: tuple[int, ...]
    truth: str
    error: RoundingError | None
    found: Mapping[str, Difference]
    precisions: Mapping[str, str]

    def measure_excess(self, column: str) -> float:
        """How many times too far a column is: what is beyond 1 drifts.

        Float32 by the second gate of the proof where the reference has the layer, else by the
        first; half precision by its own.
        """
        precision = self.precisions[column]
        tolerance = TOLERANCES[precision]
        if precision == "fp32" and self.error is not None:
            tolerance = self.error.tolerance()
        return self.found[column].excess(tolerance)

    def to_json(self) -> dict[str, Any]:
        """The row as plain JSON types."""
        columns = {
            name: {**found.to_json(), "excess": keep_finite(self.measure_excess(name))}
            for name, found in self.found.items()
        }
        return {
            "layer": self.layer,
            "shape": list(self.shape),
            "compared_with": self.truth,
            "reference_error": self.error and self.error.to_json(),
            "columns": columns,
        }

    def make_cells(self, columns: Sequence[str]) -> dict[str, str]:
        """The row as texts for people, by heading."""
        drifting = [column for column in self.found if self.measure_excess(column) > 1]
        return {
            "layer": self.layer,
            "shape": "x".join(map(str, self.shape)),
            "compared with": self.truth,
            **{column: self._tell(column) for column in columns},
            "": f"{', '.join(drifting)} drifts" if drifting else "ok",
        }

    def _tell(self, column: str) -> str:
        found = self.found.get(column)
        if found is None:
            return "-"
        if not found.finite:
            return "not finite"
        if self.precisions[column] == "fp16":
            return "equal" if found.psnr_db == math.inf else f"{found.psnr_db:.1f} dB"
        return f"{found.rms:.1e} rms"


@dataclass(frozen=True)
class LayerReport:
    """All layers, in the order of the graphs."""

    rows: tuple[LayerRow, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """What was compared."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.found))

    def find_first(self, column: str) -> LayerRow | None:
        """The first layer that drifts, None = none does."""
        found = (row for row in self.rows if column in row.found)
        return next((row for row in found if row.measure_excess(column) > 1), None)

    def tell(self) -> list[str]:
        """A sentence for each column."""
        return [self._tell(column) for column in self.columns]

    def _tell(self, column: str) -> str:
        row = self.find_first(column)
        if row is None:
            return f"{column}: no layer drifts."
        excess = row.measure_excess(column)
        how_far = (
            f"{excess:.2g} times too far from {row.truth}" if excess < math.inf else "not finite"
        )
        return f"{column}: the first layer that drifts is {row.layer} ({how_far})."

    def make_table(self) -> list[dict[str, str]]:
        """The rows as texts for people, by heading."""
        return [row.make_cells(self.columns) for row in self.rows]

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON types."""
        firsts = {column: self.find_first(column) for column in self.columns}
        return {
            "first_drift": {column: row and row.layer for column, row in firsts.items()},
            "rows": [row.to_json() for row in self.rows],
        }
