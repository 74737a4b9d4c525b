"""Engines: from a bundle to compiled TensorRT plans in it. Nothing is here yet."""

__all__: list[str] = []
