"""Memory, streams and arrays of an NVIDIA GPU. Loaded where one is used."""
