"""Speed and quality, measured: each a command that writes a table as Markdown and JSON."""
