"""The command line."""

from picoclaw_fleet.cli.app import command_line

__all__ = ["command_line"]
