"""The drafter: the Draft RPC around an engine with the small model."""
