"""Greedy decoding through transformers and through this project's services, in one run."""
