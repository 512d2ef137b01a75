"""The fleet config: what may stand in it, reading its file, what is wrong with it, and the hosts that it makes."""
