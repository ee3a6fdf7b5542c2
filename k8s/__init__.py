"""Kubernetes: the manifests, and what checks them."""
