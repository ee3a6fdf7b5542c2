"""How many rounds a second one router process carries, and what it adds to a round."""
