"""What a thousand tokens cost in each mode, and the pods of a load, from what was measured."""
