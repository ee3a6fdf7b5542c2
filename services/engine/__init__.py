"""One model on one device: weights, key-value cache, forward passes on one worker thread.

Knows no gRPC and no step of a role: the drafter and the expert bring their own.
"""
