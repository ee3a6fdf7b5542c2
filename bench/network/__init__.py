"""What the network costs, and what drafting ahead wins back: simulated models, a relay between."""
