"""Jobs: placing them, carrying them out, keeping what came of them."""
