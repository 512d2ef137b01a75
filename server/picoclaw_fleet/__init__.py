"""picoclaw-fleet: one-shot PicoClaw workers on a fleet of machines, over SSH, for AI agents and for people."""

from __future__ import annotations

from importlib.metadata import version

__version__ = version("picoclaw-fleet")
