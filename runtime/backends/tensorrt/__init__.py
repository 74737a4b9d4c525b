"""Engines of TensorRT and TensorRT-RTX. Loaded where one is used."""
