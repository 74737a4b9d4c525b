"""The adjoint of a finished graph: gradients of its inputs by a graph of standard operators.

It needs onnx and NumPy, and knows nothing of families, checkpoints or torch.
"""

__all__: list[str] = []
