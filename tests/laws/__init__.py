"""The law of the procedure: enumerated, drawn, by blocks, and through the services."""
