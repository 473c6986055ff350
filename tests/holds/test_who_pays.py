"""Holds beside those who change who pays, or don't know of holds."""

import pytest
from sqlalchemy import text

import core.ledger.sql.batches
import core.movements.switch
from core.asking.rights import ROOT
from core.billing import BillingModel
from core.config import Configuration
from core.database.database import Database
from core.errors import RequestRefused, StorageUnavailable
from core.movements.switch import ModelSwitch, switch_billing_model
from core.movements.update_settings import update_settings
from tests.caps.scene import SetCap, put_cap
from tests.conftest import Record, Rows
from tests.holds.asking import Holds
from tests.sample_events import event
from tests.scene import PutAccount, PutSettings

__all__ = ["put_cap"]


@pytest.fixture
def holds(database: Database, config: Configuration) -> Holds:
    """Asks for holds."""
    return Holds(database, config)


@pytest.fixture
def of_the_release_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Transactions don't say that they know of holds, as those of workers of the release before don't."""
    for name in ("_BEGIN", "_BEGIN_BY_KEYS"):
        said = getattr(core.ledger.sql.batches, name).text
        monkeypatch.setattr(core.ledger.sql.batches, name, text(said.replace("'tollbook.knows_holds'", "'tollbook.knew_nothing'")))
    monkeypatch.setattr(core.movements.switch, "know_holds", lambda _: None)


def test_a_plain_update_of_the_model_is_refused_while_there_are_open_holds(
    database: Database, config: Configuration, holds: Holds, put_settings: PutSettings
) -> None:
    """It would leave them with whoever paid before; a switch takes them along. Once they are settled it goes."""
    put_settings("acme", BillingModel.UNLIMITED, users=["ada"])
    holds.authorise("a", "5")

    def update() -> None:
        update_settings(database, ROOT, "acme", {"billing_model": "PREPAY_USER"}, changed_by="olga", config=config)

    with pytest.raises(RequestRefused, match="has open holds under UNLIMITED"):
        update()
    holds.release("a")
    update()


@pytest.mark.usefixtures("of_the_release_before")
def test_a_worker_that_knows_no_holds_is_refused_what_it_would_not_capture(record: Record, put_settings: PutSettings) -> None:
    """It tries again, until a worker of this release has the events; what names no hold it records."""
    put_settings("acme", BillingModel.PREPAY_USER, users=["ada"])
    record(event())
    with pytest.raises(StorageUnavailable, match="does not know of"):
        record(event(), event(hold_key="call-1"))


def test_a_worker_that_knows_no_caps_is_refused_what_it_would_not_count(
    record: Record, put_settings: PutSettings, put_cap: SetCap, request: pytest.FixtureRequest
) -> None:
    """Usage of mandates that have any."""
    put_settings("acme", BillingModel.PREPAY_USER, users=["ada"])
    put_settings("globex", BillingModel.PREPAY_USER, users=["ada"])
    put_cap()
    request.getfixturevalue("of_the_release_before")
    record(event(mandate_id="globex"))
    with pytest.raises(StorageUnavailable, match="does not know of"):
        record(event())


@pytest.mark.usefixtures("of_the_release_before")
def test_a_switch_that_knows_no_holds_is_refused_while_there_are_open_ones(database: Database, holds: Holds, put_settings: PutSettings) -> None:
    """It would leave them with whoever paid before."""
    put_settings("acme", BillingModel.PREPAY_USER, users=["ada"])
    asked = ModelSwitch.read({"mandate_id": "acme", "billing_model": "PREPAY_MANDATE", "key": "switch-1", "by": "olga"})
    holds.authorise("a", "1")
    with pytest.raises(StorageUnavailable, match="does not know of"):
        switch_billing_model(database, ROOT, asked)
    holds.release("a")
    switch_billing_model(database, ROOT, asked)


def test_usage_is_recorded_whatever_is_wrong_with_what_is_held(
    rows: Rows, holds: Holds, put_settings: PutSettings, put_account: PutAccount, record: Record
) -> None:
    """What isn't held can't be freed: neither usage nor the sweep of others' holds stops at it; H1 tells of it."""
    put_settings("acme", BillingModel.PREPAY_USER, users=["ada", "bob"])
    put_account("ada", "10")
    holds.authorise("a", "5")
    holds.authorise("b", "5")
    holds.authorise("of-bob", "1", user_id="bob")
    rows("UPDATE accounts SET held = 1 WHERE user_id = 'ada'")
    assert record(event(hold_key="a")).outcomes == ["recorded"]
    rows("UPDATE holds SET expires_at = authorised_at WHERE settled_at IS NULL")
    assert holds.expire() == 2
    assert [row["held"] for row in rows("SELECT held FROM accounts")] == [0, 0]
