"""The manifests, as they render, and the checks of them."""
