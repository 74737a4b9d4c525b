"""Data sets and services on many machines, with Ray."""
