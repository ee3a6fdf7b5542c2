"""The expert: the Verify RPC around an engine with the large model."""
