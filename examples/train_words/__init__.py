"""Trains the demo's pair of networks for pictures and words, and the reader of what they find."""
