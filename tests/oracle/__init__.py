"""The law of an answer a second time, in plain Python: from docs/rules.md, not from the code.

Knows no tensor, no block, no session: the token at a position is a function of the tokens before
it and of the noise keyed to that position.
"""
