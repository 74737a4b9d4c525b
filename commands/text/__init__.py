"""What users write in options, read as values.

Each `parse_...` takes a text. What it cannot read is an `InvalidInput` that says what was got and
what is expected; who calls it knows the name of the option.
"""

__all__: list[str] = []
