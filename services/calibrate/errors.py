"""What can go wrong in a calibration, each told in one line.

CalibrationError       exit status 1
├── ServiceFailed      a service can't be reached, refused a call, or is not the one expected
└── UsageError         it can't be done as asked: exit status 2
    ├── BadOption      an option's value that can't be
    └── BadPrompts     a file of prompts that can't be used
"""


class CalibrationError(Exception):
    """Base of all errors here; its text is one line for the user."""

    exit_code = 1


class ServiceFailed(CalibrationError):
    """A service can't be reached, refused a call, or is not the one expected."""


class UsageError(CalibrationError):
    """It can't be done as asked."""

    exit_code = 2


class BadOption(UsageError):
    """An option's value that can't be; the text names the option, the limit and the value."""

    def __init__(self, option: str, text: str) -> None:
        super().__init__(f"{option}: {text}")


class BadPrompts(UsageError):
    """A file of prompts that can't be used; the text names the file and the line."""
