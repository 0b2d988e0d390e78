"""Errors that a user can act on. The command line prints them as one line and exits with 1."""


class PairAugError(Exception):
    """A problem that the user can fix; its message says what is wrong, where, and what to do."""


class SettingsError(PairAugError):
    """A setting is unknown, has a wrong value, or does not go with another."""


class DataError(PairAugError):
    """The user's data is missing, empty, or not laid out as its reader expects."""


class ModelError(PairAugError):
    """A model is missing, or is not one that PairAug can use."""


class RunError(PairAugError):
    """A run folder cannot be written, read or resumed."""


class BackendError(PairAugError):
    """A language-model server cannot be reached, or does not answer as it should."""


class MissingExtraError(PairAugError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, package: str, extra: str) -> None:
        self._named = (what, package, extra)
        super().__init__(f'{what} needs {package}: pip install "pairaug[{extra}]"')

    def __reduce__(self) -> tuple[type[Exception], tuple[str, ...]]:
        # By default an exception comes out of another process by its message alone.
        return type(self), self._named
