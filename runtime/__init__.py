"""The runtime: from a bundle to pictures, with NumPy and one backend, without torch."""

from stylert.runtime.bundle import Bundle, GeneratorSpec
from stylert.runtime.errors import (
    BundleError,
    CheckpointError,
    EngineError,
    InvalidInput,
    MissingExtra,
    ParityError,
    StylertError,
    StylertWarning,
)
from stylert.runtime.generator import Generator
from stylert.runtime.session import DLPackArray

__all__ = [
    "Bundle",
    "BundleError",
    "CheckpointError",
    "DLPackArray",
    "EngineError",
    "Generator",
    "GeneratorSpec",
    "InvalidInput",
    "MissingExtra",
    "ParityError",
    "StylertError",
    "StylertWarning",
]
