"""picoclaw-fleet: one-shot PicoClaw workers on a fleet of machines, over SSH, for AI agents and for people."""

__version__ = "0.1.0"
