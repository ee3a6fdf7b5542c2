"""What can go wrong in a benchmark, each told in one line.

BenchError
├── BadOption        an option's value that can't be
├── PromptTooLong    a prompt and its answer exceed the models' context
└── ServiceFailed    a service that did not start, or that failed a request
"""


class BenchError(Exception):
    """Base of all errors here; its text is one line for the user."""


class BadOption(BenchError):
    """An option's value that can't be; the text names the option and what it may be."""


class PromptTooLong(BenchError):
    """A prompt and its answer exceed the models' context; the text names both and the limit."""


class ServiceFailed(BenchError):
    """A service that did not start, or that failed a request; the text has its last words."""
