"""The PyTorch references that every export is compared with, one file per family."""

__all__: list[str] = []
