"""What works on this machine, and what a bundle proves without its checkpoint."""
