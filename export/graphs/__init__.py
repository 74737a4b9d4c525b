"""The generators as ONNX graphs with constant weights and a dynamic batch."""

__all__: list[str] = []
