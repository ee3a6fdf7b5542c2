"""What accepting and rejecting costs beside the pass that it follows."""
