"""How often the drafter foresees what replaces a rejected token, and what that costs it."""
