"""The engine: its step beside transformers' own, what it adds, and many sessions at once."""
