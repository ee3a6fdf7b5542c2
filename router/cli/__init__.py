"""The command line, ``cascade``: starts the three services here, asks them, shows the answers.

A command's module is imported when the command runs, so that ``cascade --help`` needs no gRPC.
"""
