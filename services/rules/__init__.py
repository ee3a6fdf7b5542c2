"""Deferral rules, acceptance, truncation of q and keyed noise: pure functions on tensors.

Notation, as in docs/rules.md: at one position ``q`` is the drafter's distribution and ``p`` the
expert's, both scaled (after temperature, top-k and top-p); ``q1`` and ``p1`` are the same two
unscaled; ``pi`` is the rule's target.  Shapes: ``S`` sessions, ``n`` tokens of a block, ``V``
entries of the vocabulary, ``K`` candidates.
"""
