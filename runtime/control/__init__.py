"""Control over the picture: truncation, mixing, interpolation, directions, animated noise."""

__all__: list[str] = []
