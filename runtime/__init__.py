"""The runtime: from a bundle to pictures, with NumPy and one backend, without torch.

Its public face are the names below, and the modules in `PUBLIC_MODULES`. Applications use nothing
else of it; everything else may change without notice.
"""

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

PUBLIC_MODULES = (
    "arguments",
    "bundle",
    "control",
    "drawing_options",
    "errors",
    "feeds",
    "files",
    "images",
    "labels",
    "latents",
    "lifetime",
    "machine",
    "noise",
    "packages",
    "proof",
    "session",
    "transforms",
)

__all__ = ["PUBLIC_MODULES", "Bundle", "DLPackArray", "Generator", "GeneratorSpec"]
__all__ += ["BundleError", "CheckpointError", "EngineError", "InvalidInput", "MissingExtra"]
__all__ += ["ParityError", "StylertError", "StylertWarning"]
