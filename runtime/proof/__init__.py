"""The proof for those without PyTorch: how near is near enough, and what a manifest tells."""
