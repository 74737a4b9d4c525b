"""Layer by layer: where a graph or an engine leaves the reference; `verify --layers` shows it."""

from stylert.export.layers.comparison import compare_layers
from stylert.export.layers.report import LayerReport, LayerRow

__all__ = ["LayerReport", "LayerRow", "compare_layers"]
