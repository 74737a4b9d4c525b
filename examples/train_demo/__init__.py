"""Trains the demo network, a small conditional StyleGAN2, on pictures drawn by our own code."""
