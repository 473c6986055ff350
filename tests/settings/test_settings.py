"""Billing settings that are made, got and looked back at."""

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.config import Configuration
from core.database.database import Database
from core.errors import Conflict, NotFound, RequestRefused, TollbookError
from core.movements.update_settings import update_settings
from core.settings.create import create_settings
from core.settings.get_or_create import get_or_create_settings
from core.settings.model import MandateSettings
from core.settings.read_history import settings_history
from tests.books.threads import at_once
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import Breaches, PutMandate, PutSettings

Make = Callable[..., MandateSettings]


@pytest.fixture
def create(database: Database, config: Configuration) -> Make:
    """Creates settings in the test's database."""

    def call(mandate_id: str = "acme", *, database: Database = database, **values: Any) -> MandateSettings:
        return create_settings(database, ROOT, mandate_id, values, created_by="olga", config=config)

    return call


@pytest.fixture
def get(database: Database, config: Configuration) -> Make:
    """Gets or creates settings in the test's database."""

    def call(mandate_id: str = "acme", model: str | None = None, *, database: Database = database, config: Configuration = config) -> MandateSettings:
        return get_or_create_settings(database, ROOT, mandate_id, billing_model=model, created_by="olga", config=config)

    return call


def test_created_settings_have_what_was_asked_and_the_defaults(
    create: Make, put_mandate: PutMandate, record: Record, rows: Rows, breaches: Breaches
) -> None:
    """They are version 1, with the directory's zone; usage is charged by them."""
    put_mandate(users=["ada"], time_zone="Asia/Tokyo", enabled=False)
    made = create(billing_model="PREPAY_MANDATE", billing_address={"company": "Acme", "city": None}, notification_emails=["a@acme.example"])
    assert (made.billing_model, made.version, made.time_zone) == (BillingModel.PREPAY_MANDATE, 1, "Asia/Tokyo")
    assert (made.billing_address, made.notification_emails) == ({"company": "Acme"}, ["a@acme.example"])
    assert (made.default_user_credit, made.warning_threshold_percent) == (Decimal(10), Decimal(10))
    assert (made.block_on_zero_balance, made.notify_on_warning) == (True, True)
    assert rows("SELECT version, changed_by FROM billing_settings_history") == [{"version": 1, "changed_by": "olga"}]
    record(event(price_chf="1"))
    assert rows("SELECT balance FROM accounts WHERE user_id IS NULL") == [{"balance": Decimal(-1)}]
    assert breaches() == {}


def test_settings_are_created_once(create: Make, put_mandate: PutMandate, connect: Callable[[], Database], rows: Rows) -> None:
    """Of four callers at once one creates them, the others are told which version there is."""
    put_mandate()

    def attempt(credit: int, database: Database) -> bool:
        try:
            create(database=database, default_user_credit=credit)
        except Conflict:
            return False
        return True

    assert sum(at_once(*[partial(attempt, credit, connect()) for credit in range(4)])) == 1
    assert len(rows("SELECT FROM billing_settings_history")) == 1
    with pytest.raises(Conflict, match="mandate 'acme' has billing settings already, version 1"):
        create()


def test_what_can_not_be_created_is_told(create: Make, put_mandate: PutMandate, rows: Rows) -> None:
    """A mandate that the directory doesn't know, and a wrong field by its name; nothing is written."""
    put_mandate()
    with pytest.raises(NotFound, match=r"'nobody'.*the directory does not know it"):
        create("nobody")
    with pytest.raises(RequestRefused, match="default_user_credit: '-1' is not between 0"):
        create(default_user_credit="-1")
    with pytest.raises(RequestRefused, match="colour: is not a field of billing settings"):
        create(colour="red")
    assert rows("SELECT FROM billing_settings") == []


def test_getting_makes_the_defaults_once(get: Make, put_mandate: PutMandate, connect: Callable[[], Database], rows: Rows) -> None:
    """Eight callers at once, who name different models, all get the same settings."""
    put_mandate()
    models = [None, "UNLIMITED", "PREPAY_MANDATE", "CREDIT_POSTPAY"] * 2
    got = at_once(*[partial(get, "acme", model, database=connect()) for model in models])
    assert all(one == got[0] for one in got)
    assert rows("SELECT version, changed_by FROM billing_settings_history") == [{"version": 1, "changed_by": "olga"}]


def test_getting_leaves_what_is_there(get: Make, put_settings: PutSettings, make_config: Callable[..., Configuration]) -> None:
    """Another model than the one named stays; without settings PREPAY_USER is the default, and who is unknown gets none."""
    put_settings(model=BillingModel.UNLIMITED)
    assert get("acme", "PREPAY_USER").billing_model is BillingModel.UNLIMITED
    with pytest.raises(NotFound, match="'nobody'"):
        get("nobody")
    assert get("nobody", config=make_config(unknown_mandates="create")).billing_model is BillingModel.PREPAY_USER
    with pytest.raises(RequestRefused, match="billing_model: 'FREE' is none of PREPAY_USER"):
        get("acme", "FREE")


def test_the_history_tells_who_changed_what(create: Make, put_mandate: PutMandate, database: Database, config: Configuration) -> None:
    """Newest first, field by field, the lines of the address one by one; the first version has every field."""
    put_mandate()
    create(billing_address={"city": "Bern"})
    changes = {"default_user_credit": 25, "billing_address": {"city": None, "company": "Acme"}}
    update_settings(database, ROOT, "acme", changes, changed_by="oleg", config=config)
    update_settings(database, ROOT, "acme", {"time_zone": "Asia/Tokyo"}, changed_by="ada", config=config)
    newest, second, first = settings_history(database, ROOT, "acme")
    assert (newest.version, newest.changed_by, newest.changes) == (3, "ada", {"time_zone": ["UTC", "Asia/Tokyo"]})
    assert second.changes == {
        "default_user_credit": [Decimal(10), Decimal(25)],
        "billing_address.city": ["Bern", None],
        "billing_address.company": [None, "Acme"],
    }
    assert first.changes["billing_model"] == [None, "PREPAY_USER"]
    assert first.changes["billing_address.city"] == [None, "Bern"]
    assert first.changed_at <= second.changed_at <= newest.changed_at
    assert settings_history(database, ROOT, "acme", limit=1, offset=1) == [second]
    assert settings_history(database, ROOT, "acme", offset=3) == []


def test_no_settings_no_history(database: Database, put_mandate: PutMandate) -> None:
    """A mandate without settings is told as such."""
    put_mandate()
    with pytest.raises(TollbookError, match="has no billing settings yet"):
        settings_history(database, ROOT, "acme")
