"""What can go wrong on the command line, each told in one line.

CliError          a command failed: exit status 1
├── CallFailed    the router refused or lost a call
├── NotRunning    there is nothing to talk to
└── UsageError    it can't be done as asked: exit status 2
    ├── StartFailed   the services can't start
    └── StateError    the state directory can't be used (in ``state``)
"""


class CliError(Exception):
    """Base of all; its text is one line for the user."""

    exit_code = 1


class CallFailed(CliError):
    """The router refused or lost a call."""


class NotRunning(CliError):
    """There is nothing to talk to."""


class UsageError(CliError):
    """It can't be done as asked."""

    exit_code = 2


class StartFailed(UsageError):
    """The services can't start."""


INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""
