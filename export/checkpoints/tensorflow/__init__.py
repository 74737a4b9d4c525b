"""TensorFlow pickles of StyleGAN 1 and 2."""

__all__: list[str] = []
