"""Photos of people as generators of faces know them: found, turned upright, and cropped."""

__all__: list[str] = []
