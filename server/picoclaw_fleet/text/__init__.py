"""Text of others and of ours: made fit to be shown, without secrets, and in good words."""
