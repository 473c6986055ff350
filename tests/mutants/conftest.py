"""What the scenes of mutants are set with."""

from collections.abc import Iterator

import pytest

from core.config import Configuration
from core.database.database import Database
from core.statistics import roll_up as rollup_module
from tests.books.test_model import BATCHES_MAX, Scene
from tests.conftest import DatabaseUrls, Record, Rows
from tests.mutants.day import Day
from tests.recording.mortal import MortalDatabase
from tests.scene import Breaches


@pytest.fixture
def day(
    database: Database,
    database_urls: DatabaseUrls,
    config: Configuration,
    record: Record,
    rows: Rows,
    breaches: Breaches,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Day]:
    """A day that is still to be lived."""
    monkeypatch.setattr(rollup_module, "BATCHES_MAX", BATCHES_MAX)
    mortal = MortalDatabase(database_urls.worker, config)
    monkeypatch.setattr(Day, "scene", Scene(database, mortal, config, record, rows, breaches), raising=False)
    yield Day()
    mortal.dispose()
