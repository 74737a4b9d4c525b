"""State dicts with rosinality's names, and those that only look alike."""

__all__: list[str] = []
