"""Training of a small encoder for any generator, from the generator's own samples."""
