"""Whether the router finds out when speculation does not pay, when it does again, and no sooner."""
