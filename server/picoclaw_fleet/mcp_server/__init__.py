"""The MCP surface: declarations, rendering, the error boundary."""
