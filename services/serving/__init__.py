"""What every server has: settings, errors as status codes, health, reflection, draining.

Needs no torch: the router uses it, too.
"""
