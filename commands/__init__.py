"""The command line, beneath cli.py: options and their texts, files that it writes, progress."""
