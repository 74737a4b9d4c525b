"""Encoders: networks that make the styles of a photo in one pass. Reader, reference, graph."""

__all__: list[str] = []
