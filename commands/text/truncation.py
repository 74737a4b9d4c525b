"""How much styles are truncated: '0.7' for all layers, or 'coarse=0.5,8-17=1'."""

from __future__ import annotations

from stylert.runtime.arguments import shown
from stylert.runtime.errors import InvalidInput

__all__ = ["parse_psi"]


def parse_psi(name: str, text: str | None) -> float | dict[str, float] | None:
    """Read a truncation psi, for `truncation_psi` of `Generator`.

    Args:
        name: what the message calls it.
        text: a number, or numbers by layers; None = none was given. Which layers there are, and
            that the numbers are finite, is checked by the generator.

    Raises:
        InvalidInput: another form.
    """
    if text is None:
        return None
    try:
        if "=" not in text:
            return float(text)
        pairs = [part.partition("=") for part in text.split(",")]
        return {layers.strip(): float(value) for layers, _, value in pairs}
    except ValueError:
        raise InvalidInput(
            f"{name}: got {shown(text)}, expected a number, or coarse=0.5,fine=1"
        ) from None
