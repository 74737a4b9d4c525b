"""WebGPU in ONNX Runtime, for GPUs of AMD, Intel, Apple and NVIDIA. Loaded where it is used."""
