"""What can go wrong with models, each told in one line.

ModelsError
├── CatalogError       the catalogue cannot be read, or does not know a pair
├── ModelMissing       a model's folder is not there
├── NoSpace            the disk is too small for what would be fetched
├── SourceFailed       one source could not deliver a file; the next one is tried
├── HashMismatch       a file is not the one that the catalogue names
├── NothingReachable   no source could deliver a file
├── FetchRunning       another process is fetching into the same folder
└── ConversionFailed   a file could not be turned into a folder
"""


class ModelsError(Exception):
    """Base of all errors here; its text is one line for the user."""


class CatalogError(ModelsError):
    """The catalogue cannot be read, or does not know a pair."""


class ModelMissing(ModelsError):
    """A model's folder is not there; the text names the command or the path that mends it."""


class NoSpace(ModelsError):
    """The disk is too small for what would be fetched."""


class SourceFailed(ModelsError):
    """One source could not deliver a file; what arrived so far is kept."""


class HashMismatch(ModelsError):
    """A file is not the one that the catalogue names; it has been removed."""


class NothingReachable(ModelsError):
    """No source could deliver a file."""


class FetchRunning(ModelsError):
    """Another process is fetching into the same folder."""


class ConversionFailed(ModelsError):
    """A file could not be turned into a folder."""
