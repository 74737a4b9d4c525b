"""Options that would change nothing: they are refused, and not passed over."""

from __future__ import annotations

from stylert.runtime.errors import InvalidInput

__all__ = ["refuse_idle"]


def refuse_idle(why: str, **given: object) -> None:
    """Refuse options that change nothing here.

        refuse_idle("without --sheet, which it belongs to", seeds=seeds)

    Args:
        why: what follows "got one".
        given: what was given for each, None = nothing.

    Raises:
        InvalidInput: one was given.
    """
    for name, value in given.items():
        if value is not None:
            raise InvalidInput(f"{name}: got one {why}.")
