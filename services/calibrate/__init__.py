"""Calibration: what each leniency of a rule costs and buys on prompts of one's own."""
