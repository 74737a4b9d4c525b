"""Files: what strangers may have made, checked before anything is taken of it; what we write."""
