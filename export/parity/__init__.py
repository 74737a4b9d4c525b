"""The proof: a bundle draws what its checkpoint draws (docs/proof.md says what it can see)."""

from stylert.export.parity.check import check_parity, open_precisions
from stylert.export.parity.drawing import count_threads
from stylert.export.parity.report import ParityReport, ParityRow, make_parity_error
from stylert.export.parity.scenes import Scene, count_pictures

__all__ = [
    "ParityReport",
    "ParityRow",
    "Scene",
    "check_parity",
    "count_pictures",
    "count_threads",
    "open_precisions",
    "make_parity_error",
]
