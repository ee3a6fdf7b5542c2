"""The law of the procedure: enumerated, drawn, and by blocks."""
