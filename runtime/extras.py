"""The optional packages: whether those of an extra are there, before anything needs them."""

from __future__ import annotations

from importlib.util import find_spec

from stylert.runtime.errors import MissingExtra

__all__ = ["need"]


def need(*modules: str, extra: str) -> None:
    """Refuse to go on without the packages of an extra; nothing is imported.

    Args:
        modules: what `import` takes.
        extra: what pip takes: stylert[extra].

    Raises:
        MissingExtra: a package is not installed.
    """
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise MissingExtra(
            f"{', '.join(missing)}: not installed. Install: pip install 'stylert[{extra}]'"
        )
