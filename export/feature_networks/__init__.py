"""Feature networks of torch weights that a user has, as ONNX files. Needs onnx, and no torch.

The weights are read as checkpoints are: nothing in their files is run. The graphs are our own.
"""

from stylert.export.feature_networks.making import KINDS, make_feature_network
from stylert.export.feature_networks.weights import PublishedWeights

__all__ = ["KINDS", "PublishedWeights", "make_feature_network"]
