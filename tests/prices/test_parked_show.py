"""What an event waits for is told, by what is known now."""

import pytest

from core.asking.rights import ROOT
from core.database.database import Database
from core.errors import NotFound
from core.prices.model import Mode
from core.prices.modes import set_mode
from core.recording.read_parked import show_parked
from tests.conftest import Record
from tests.movements.rerating import SINCE, set_terms, usage
from tests.prices.scene import accepted, row
from tests.scene import PutSettings


def test_what_stands_in_the_way_is_told(record: Record, database: Database, put_settings: PutSettings) -> None:
    """First the model, then the class of tokens that has no row, and in the end nothing; of an unknown mandate that it is."""
    put_settings("acme", users=["ada"])
    set_terms(database)
    set_mode(database, ROOT, "acme", Mode.COMPUTED, created_by="olga", since=SINCE)
    record(usage(event_id="k"), usage(event_id="k", mandate_id="nobody"))
    shown = show_parked(database, ROOT, "acme", "k")
    assert (shown.reason, shown.model) == ("unpriced_model", "gpt")
    assert shown.present.startswith("unpriced_model: ")
    accepted(database, [row()])
    assert "unpriced_class: " in (present := show_parked(database, ROOT, "acme", "k").present)
    assert "output" in present
    accepted(database, [row(leaf="output", amount="15")])
    assert show_parked(database, ROOT, "acme", "k").present == ""
    assert show_parked(database, ROOT, "nobody", "k").present == "unknown_mandate"
    with pytest.raises(NotFound, match="is parked"):
        show_parked(database, ROOT, "acme", "other")
