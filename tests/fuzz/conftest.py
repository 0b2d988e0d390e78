"""The child process that all fuzz tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from support.fuzz.bounded import FOLDER, Bounded


@pytest.fixture(scope="session")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bounded]:
    """Runs checks with limits; the child works below one temporary folder."""
    os.environ[FOLDER] = str(tmp_path_factory.mktemp("fuzz"))
    process = Bounded()
    yield process
    process.close()
