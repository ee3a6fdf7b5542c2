"""HumanEval pass@1 of every system, beside its speed and its calls of the expert."""
