"""Every rule over its alphas: the acceptance that a distance from the expert buys."""
