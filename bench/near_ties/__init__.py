"""Where rounding shows: answers that are equal on paper, compared token for token."""
