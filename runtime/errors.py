"""The errors of StyleRT, and the warning it gives.

    StylertError                the base: catch this one to catch them all
    ├── InvalidInput            an argument, a file or an array that cannot be used as it is
    │   ├── CheckpointError     a checkpoint that cannot be read, or is refused
    │   └── BundleError         a bundle that is incomplete, changed, or of a newer schema
    ├── MissingExtra            an optional package is not installed, or two installed ones collide
    ├── EngineError             a backend or a compiler refused, failed, or does not run here
    └── ParityError             the exported graphs do not reproduce the reference

A message says what is wrong, what was got, what was expected, and what to do. It is one line.
"""

from typing import Any

__all__ = ["BundleError", "CheckpointError", "EngineError", "InvalidInput", "MissingExtra"]
__all__ += ["ParityError", "StylertError", "StylertWarning"]


class StylertError(Exception):
    """Base of all errors that StyleRT raises on purpose."""


class InvalidInput(StylertError, ValueError):
    """An argument, a file or an array that cannot be used as it is."""


class CheckpointError(InvalidInput):
    """A checkpoint that cannot be read, is damaged, or is refused because it is unsafe."""


class BundleError(InvalidInput):
    """A bundle that is incomplete, changed since its export, or of a newer schema."""


class MissingExtra(StylertError, ImportError):
    """An optional package is not installed, or two installed packages collide."""


class EngineError(StylertError, RuntimeError):
    """A backend or a compiler refused, failed, or does not run on this machine."""


class ParityError(StylertError):
    """The exported graphs do not reproduce the reference within the tolerances.

    Attributes:
        report: The `ParityReport` that failed, None where there is none.
    """

    def __init__(self, *message: str, report: Any = None) -> None:
        super().__init__(*message)
        self.report = report


class StylertWarning(UserWarning):
    """Something that a user should know, and that does not stop the work."""
