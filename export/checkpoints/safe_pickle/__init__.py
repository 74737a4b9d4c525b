"""Containers of checkpoints read without running them: pickles, torch archives, arrays."""

__all__: list[str] = []
