"""The configuration of each family: its architecture, and the names of its tensors."""

__all__: list[str] = []
