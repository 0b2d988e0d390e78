"""Errors that a user can fix. The command line prints them in one line and exits with 1."""


class PairAugError(Exception):
    """A problem that the user can fix; the message states the problem, where, and what to do."""


class SettingsError(PairAugError):
    """A setting is unknown, has a wrong value, or conflicts with another."""


class DataError(PairAugError):
    """The user's data is missing, empty, or not in the expected layout."""


class ModelError(PairAugError):
    """A model is missing, or is not one that PairAug can use."""


class RunError(PairAugError):
    """A run folder cannot be written, read or resumed."""


class BackendError(PairAugError):
    """A language-model server cannot be reached, or its answer is invalid."""


class MissingExtraError(PairAugError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, package: str, extra: str) -> None:
        self._named = (what, package, extra)
        super().__init__(f'{what} needs {package}: pip install "pairaug[{extra}]"')

    def __reduce__(self) -> tuple[type[Exception], tuple[str, ...]]:
        # By default an exception is unpickled from its message alone.
        return type(self), self._named
