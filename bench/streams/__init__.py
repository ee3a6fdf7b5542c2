"""Ours beside vLLM: one request at a time, and several at once."""
