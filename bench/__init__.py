"""Speed and quality, measured: each a command that writes a table as Markdown and JSON."""

import services as services  # first: what it sets, gRPC reads when it is imported
