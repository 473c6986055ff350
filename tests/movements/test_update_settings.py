"""Changing billing settings: checked, versioned, kept in the history."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.config import Configuration
from core.database.database import Database
from core.errors import Conflict, NotFound, RequestRefused
from core.events.outcome import BatchResult
from core.movements.update_settings import update_settings
from core.settings.changes import wrong_settings
from core.settings.model import MandateSettings
from core.verifying.verify import verify
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import PutMandate, PutSettings

Update = Callable[..., MandateSettings]


@pytest.fixture
def update(database: Database, config: Configuration) -> Update:
    """Changes settings of the test's database."""

    def call(mandate_id: str = "acme", *, expected_version: int | None = None, config: Configuration = config, **changes: Any) -> MandateSettings:
        return update_settings(database, ROOT, mandate_id, changes, expected_version=expected_version, changed_by="tester", config=config)

    return call


def test_a_change_raises_the_version_and_is_kept(update: Update, put_settings: PutSettings, rows: Rows) -> None:
    """What is named changes, what isn't stays, and the history has both versions and who made them."""
    put_settings()
    changed = update(
        default_user_credit="25.5",
        warning_threshold_percent=Decimal("12.5"),
        notify_on_warning=False,
        notification_emails=["billing@acme.example"],
        time_zone="Europe/Zurich",
        billing_model="CREDIT_POSTPAY",
    )
    assert (changed.version, changed.default_user_credit, changed.time_zone) == (2, Decimal("25.500000000"), "Europe/Zurich")
    assert (changed.block_on_zero_balance, changed.notify_on_warning) == (True, False)
    assert (changed.notification_emails, changed.billing_model) == (["billing@acme.example"], BillingModel.CREDIT_POSTPAY)
    history = rows("SELECT version, time_zone, changed_by FROM billing_settings_history ORDER BY version")
    assert [tuple(row.values()) for row in history] == [(1, "UTC", "test"), (2, "Europe/Zurich", "tester")]


def test_an_address_changes_line_by_line(update: Update, put_settings: PutSettings) -> None:
    """Lines of the address that aren't named stay, and None takes one out."""
    put_settings()
    update(billing_address={"company": "Acme", "city": "Zürich"})
    changed = update(billing_address={"city": None, "vat_number": "CHE-1"})
    assert (changed.billing_address, changed.version) == ({"company": "Acme", "vat_number": "CHE-1"}, 3)


def test_what_changes_nothing_makes_no_version(update: Update, put_settings: PutSettings, rows: Rows) -> None:
    """The same values once more are no change."""
    put_settings()
    assert update(default_user_credit="10", time_zone="UTC").version == 1
    assert update().version == 1
    assert len(rows("SELECT FROM billing_settings_history")) == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("billing_model", "FREE"),
        ("default_user_credit", "NaN"),
        ("default_user_credit", "-0.000000001"),
        ("default_user_credit", "0.0000000001"),
        ("default_user_credit", "10000000001"),
        ("default_user_credit", 0.1),
        ("default_user_credit", True),
        ("default_user_credit", None),
        ("warning_threshold_percent", "100.001"),
        ("warning_threshold_percent", "0.0001"),
        ("block_on_zero_balance", "yes"),
        ("notification_emails", ["nobody"]),
        ("notification_emails", ["a@b\n.example"]),
        ("billing_address", {"planet": "Mars"}),
        ("billing_address", {"company": "x" * 129}),
        ("billing_address", {"company": "a\x1bb"}),
        ("time_zone", "Mars/Olympus"),
        ("time_zone", "europe/zurich"),
        ("credit_limit", "5"),
        ("version", 7),
    ],
)
def test_a_wrong_value_is_refused_by_name(update: Update, put_settings: PutSettings, rows: Rows, field: str, value: object) -> None:
    """The refusal is one printable line that names the field, and nothing is written."""
    put_settings()
    with pytest.raises(RequestRefused, match=field) as caught:
        update(**{field: value})
    assert str(caught.value).isprintable()
    assert "Input should" not in str(caught.value)
    assert " is no" in str(caught.value)
    assert len(rows("SELECT FROM billing_settings_history")) == 1


def test_a_wrong_value_is_told_in_words() -> None:
    """Each wrong field comes with its value and what it should have been."""
    assert wrong_settings({"default_user_credit": "10"}) == []
    assert wrong_settings({"default_user_credit": "abc", "warning_threshold_percent": "101", "billing_address": {"city": "a\x07"}}) == [
        ("default_user_credit", "'abc' is not an amount in CHF with at most nine decimal places"),
        ("warning_threshold_percent", "'101' is not between 0 and 100 percent"),
        ("billing_address.city", "'a\\x07' is not a line of at most 128 characters without control characters"),
    ]
    assert wrong_settings({"notification_emails": ["a@b"] * 51}) == [("notification_emails", "has more than 50 addresses")]


def test_who_changes_them_is_one_plain_line(database: Database, config: Configuration, put_settings: PutSettings) -> None:
    """A name with a control character doesn't get into the history."""
    put_settings()
    with pytest.raises(RequestRefused, match="changed_by"):
        update_settings(database, ROOT, "acme", {"notify_on_warning": False}, changed_by="a\nb", config=config)


def test_a_stale_version_is_a_conflict(update: Update, put_settings: PutSettings) -> None:
    """Who has seen an older version is told which one there is by now."""
    put_settings()
    assert update(expected_version=1, notify_on_warning=False).version == 2
    with pytest.raises(Conflict, match=r"expected_version: mandate .acme. has settings version 2, not 1"):
        update(expected_version=1, notify_on_warning=True)


def test_of_many_updates_of_one_version_one_succeeds(update: Update, put_settings: PutSettings, rows: Rows) -> None:
    """Concurrent updates that expect the same version: the first one makes the next, the others are refused."""
    put_settings()

    def attempt(n: int) -> bool:
        try:
            update(expected_version=1, default_user_credit=n)
        except RequestRefused:
            return False
        return True

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(attempt, range(100, 108))) == 1
    assert len(rows("SELECT FROM billing_settings_history")) == 2


def test_the_billing_model_is_fixed_once_there_are_transactions(
    update: Update, put_settings: PutSettings, record: Record, database: Database
) -> None:
    """After the first transaction only a model switch changes the model; everything else still changes."""
    put_settings(users=["ada"])
    record(event())
    with pytest.raises(RequestRefused, match=r"billing_model.*PREPAY_USER.*UNLIMITED.*model switch.*`tollbook switch`"):
        update(billing_model="UNLIMITED", notify_on_warning=False)
    assert update(billing_model="PREPAY_USER", time_zone="Asia/Tokyo").version == 2
    record(event())
    assert not [verdict for verdict in verify(database, ROOT) if verdict.violations]


def test_a_known_mandate_first_gets_the_defaults(update: Update, put_mandate: PutMandate, rows: Rows) -> None:
    """A mandate that the directory has enabled has its defaults as version 1 and the change as version 2."""
    put_mandate(time_zone="Asia/Tokyo")
    put_mandate("beta", time_zone="Mars/Olympus")
    changed = update(billing_model="UNLIMITED")
    assert (changed.version, changed.time_zone, changed.billing_model) == (2, "Asia/Tokyo", BillingModel.UNLIMITED)
    history = rows("SELECT billing_model FROM billing_settings_history ORDER BY version")
    assert [row["billing_model"] for row in history] == ["PREPAY_USER", "UNLIMITED"]
    assert update("beta").time_zone == "UTC"


def test_a_disabled_mandate_s_settings_can_be_prepared(
    update: Update, put_mandate: PutMandate, record: Record, release: Callable[..., BatchResult], rows: Rows
) -> None:
    """A mandate that the directory has disabled gets the defaults and the change, and its parked events follow them."""
    put_mandate(enabled=False)
    record(event())
    assert rows("SELECT reason FROM parked_events") == [{"reason": "disabled_mandate"}]
    assert update(billing_model="UNLIMITED").version == 2
    release()
    assert rows("SELECT settings_version, balance_account_id FROM transactions") == [{"settings_version": 2, "balance_account_id": None}]


def test_an_unknown_mandate_is_not_found(update: Update, make_config: Callable[..., Configuration], rows: Rows) -> None:
    """Nobody gets settings whom the directory doesn't know, unless mandates are made at their first usage anyway."""
    creating = make_config(unknown_mandates="create", default_time_zone="Europe/Zurich")
    with pytest.raises(NotFound, match=r"'nobody'.*the directory does not know it"):
        update("nobody", notify_on_warning=False)
    assert rows("SELECT FROM billing_settings") == []
    assert update("nobody", notify_on_warning=False, config=creating).time_zone == "Europe/Zurich"
