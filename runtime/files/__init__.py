"""What reads files that a stranger may have made: checked before anything is taken from them."""
