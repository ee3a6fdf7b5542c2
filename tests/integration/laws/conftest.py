"""Settings for the tests of the law."""

from tests.laws.conftest import one_thread

__all__ = ["one_thread"]
