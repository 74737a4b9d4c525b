"""NVlabs' PyTorch pickles: their modules, and what each family makes of them."""

__all__: list[str] = []
