"""Reading the books: names, order, pages and the balance that counts."""

import hashlib
from decimal import Decimal

import pytest

from core.asking.paging import Page
from core.asking.rights import ROOT
from core.billing import BillingModel, DeadLetterStatus
from core.database.database import Database
from core.dead_letters import read as dead_letters
from core.directory.sql.mirror import Mandate, User, put_mandates, put_users
from core.errors import NotFound, RequestRefused
from core.ledger import read_accounts as accounts
from core.ledger import read_transactions as transactions
from core.ledger.read_balance import balance
from core.recording import read_batches as batches
from core.recording import read_parked as parked_events
from core.rejection import Reason
from core.settings import read as billing_settings
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import PutAccount, PutMandate, PutSettings


def test_settings_are_shown_whole_and_with_the_mandates_name(database: Database, put_settings: PutSettings) -> None:
    """A mandate's settings come with every field; the list has every mandate by id, page by page."""
    put_settings("beta", BillingModel.UNLIMITED)
    put_settings("acme", time_zone="Europe/Zurich")
    found = billing_settings.settings_of(database, ROOT, "acme")
    assert (found.mandate_name, found.billing_model, found.time_zone, found.version) == ("acme's name", BillingModel.PREPAY_USER, "Europe/Zurich", 1)
    assert found.default_user_credit == Decimal(10)
    assert [s.mandate_id for s in billing_settings.list_settings(database, ROOT)] == ["acme", "beta"]
    assert [s.mandate_id for s in billing_settings.list_settings(database, ROOT, limit=1, offset=1)] == ["beta"]


def test_what_does_not_exist_is_an_error_that_names_it(database: Database) -> None:
    """Settings, accounts, balances and dead letters that aren't there are not found, and the error names them."""
    with pytest.raises(NotFound, match="'nobody' has no billing settings, and the directory does not know it"):
        billing_settings.settings_of(database, ROOT, "nobody")
    for of_mandate in (accounts.accounts_of, transactions.transactions_of_mandate):
        with pytest.raises(NotFound, match="there is no mandate 'nobody'"):
            of_mandate(database, ROOT, "nobody")
    with pytest.raises(NotFound, match="there is no mandate 'nobody'"):
        transactions.transactions_of_user(database, ROOT, "ada", ["nobody"])
    with pytest.raises(NotFound, match="there is no account 4711"):
        transactions.transactions_of_account(database, ROOT, 4711)
    with pytest.raises(NotFound, match="4711"):
        accounts.account(database, ROOT, 4711)
    with pytest.raises(NotFound, match="there is no mandate 'acme'"):
        accounts.holder_account(database, ROOT, "acme", None)
    with pytest.raises(NotFound, match="'acme'"):
        balance(database, ROOT, "acme")
    with pytest.raises(NotFound, match="4711"):
        dead_letters.dead_letter(database, ROOT, 4711)


def test_what_is_known_but_unused_is_empty_and_without_settings(database: Database, put_mandate: PutMandate, put_account: PutAccount) -> None:
    """A mandate that only the directory knows has no rows and no settings yet, and the error says how they come."""
    put_mandate()
    put_mandate("asleep", enabled=False)
    assert accounts.accounts_of(database, ROOT, "acme") == []
    assert transactions.transactions_of_mandate(database, ROOT, "asleep") == []
    assert transactions.transactions_of_user(database, ROOT, "nobody", ["acme"]) == transactions.transactions_of_user(database, ROOT, "nobody") == []
    assert transactions.transactions_of_account(database, ROOT, put_account("ada")) == []
    for read in (billing_settings.settings_of, balance):
        with pytest.raises(NotFound, match=r"'acme' is known, and has no billing settings yet: .* first usage, or with `tollbook settings update`"):
            read(database, ROOT, "acme")
    with pytest.raises(NotFound, match="'asleep' is known, but disabled, and has no"):
        billing_settings.settings_of(database, ROOT, "asleep")


@pytest.mark.parametrize(("limit", "offset"), [(0, 0), (10_001, 0), (1, -1)])
def test_a_page_out_of_bounds_is_refused(database: Database, limit: int, offset: int) -> None:
    """No read is unbounded, and the refusal names the value."""
    with pytest.raises(RequestRefused, match=str(offset if limit == 1 else limit)):
        accounts.accounts_of(database, ROOT, "acme", limit=limit, offset=offset)


def test_accounts_are_listed_with_names(database: Database, owner_database: Database, put_settings: PutSettings, put_account: PutAccount) -> None:
    """The pool comes first, then users by id; a user's name is the display name, else the user name, else the id."""
    put_settings(users=["ada", "bob", "eve"])
    with owner_database.transaction() as connection:
        put_users(connection, [User("ada", "ada.l", "Ada Lovelace"), User("bob", "bob.b", None)])
        put_mandates(connection, [Mandate("acme", "Acme Inc.", "ACME", enabled=True, time_zone=None)])
    ids = [put_account(user, "1.5") for user in ("eve", "bob", "ada", None)]
    found = accounts.accounts_of(database, ROOT, "acme")
    assert [(a.id, a.user_id, a.user_name) for a in found] == [
        (ids[3], None, None),
        (ids[2], "ada", "Ada Lovelace"),
        (ids[1], "bob", "bob.b"),
        (ids[0], "eve", "eve"),
    ]
    assert {a.mandate_name for a in found} == {"ACME"}
    assert accounts.account(database, ROOT, ids[0]) == found[3] == accounts.holder_account(database, ROOT, "acme", "eve")
    assert accounts.holder_account(database, ROOT, "acme", None) == found[0]
    with pytest.raises(NotFound, match="mandate 'acme' has no account of user 'max'"):
        accounts.holder_account(database, ROOT, "acme", "max")


def test_transactions_come_newest_first_and_page_by_page(database: Database, record: Record, put_settings: PutSettings) -> None:
    """Pages joined by their cursor have each transaction once, the newest first, for a mandate, an account and a user alike."""
    put_settings("acme", users=["ada", "bob"])
    put_settings("beta", BillingModel.PREPAY_MANDATE, users=["ada"])
    for _ in range(2):
        record(event(), event(), event(mandate_id="beta"), event(user_id="bob"))
    everything = transactions.transactions_of_mandate(database, ROOT, "acme")
    assert len(everything) == 8  # six debits, two grants
    assert [(t.recorded_at, t.id) for t in everything] == sorted(((t.recorded_at, t.id) for t in everything), reverse=True)
    paged, cursor = [], None
    while page := transactions.transactions_of_mandate(database, ROOT, "acme", Page(3, cursor)):
        paged += page
        cursor = transactions.next_page(page)
    assert paged == everything
    ada = accounts.holder_account(database, ROOT, "acme", "ada").id
    own = [t for t in everything if t.account_id == ada]
    assert transactions.transactions_of_account(database, ROOT, ada) == own
    assert transactions.transactions_of_user(database, ROOT, "ada", ["acme"]) == own
    over_all = transactions.transactions_of_user(database, ROOT, "ada")
    assert [t.id for t in over_all if t.mandate_id == "acme"] == [t.id for t in own]
    assert len(over_all) == len(own) + 2
    assert transactions.transactions_of_user(database, ROOT, "ada", page=Page(2, transactions.next_page(over_all[:2]))) == over_all[2:4]
    assert transactions.next_page([]) is None


@pytest.mark.parametrize(
    "case",
    [
        (BillingModel.PREPAY_USER, "ada", "0.9", True),
        (BillingModel.PREPAY_USER, "bob", "8", False),
        (BillingModel.PREPAY_USER, None, "8.9", False),
        (BillingModel.PREPAY_MANDATE, "ada", "-9", True),
        (BillingModel.PREPAY_MANDATE, None, "-9", True),
        (BillingModel.CREDIT_POSTPAY, "ada", "-9", True),
        (BillingModel.UNLIMITED, "ada", "0", False),
    ],
)
def test_the_balance_that_counts_follows_the_billing_model(
    database: Database, put_settings: PutSettings, put_account: PutAccount, case: tuple[BillingModel, str | None, str, bool]
) -> None:
    """The own account, the pool or nobody pays, and the warning is that of whoever does."""
    model, user, expected, warns = case
    put_settings(model=model, users=["ada", "bob"])
    put_account("ada", "0.9", warning_threshold=1)
    put_account("bob", "8", warning_threshold=1)
    put_account(None, "-9", credit_limit=10)
    found = balance(database, ROOT, "acme", user)
    assert (found.balance, found.is_warning, found.billing_model, found.user_id) == (Decimal(expected), warns, model, user)
    assert found.credit_limit == (Decimal(10) if model.pool_pays else None)


def test_a_pool_that_was_never_used_is_zero_and_a_strange_user_an_error(database: Database, put_settings: PutSettings) -> None:
    """Without a pool account a pool model's balance is 0; a user who is no member has none."""
    put_settings(model=BillingModel.CREDIT_POSTPAY)
    found = balance(database, ROOT, "acme")
    assert (found.balance, found.account_id, found.is_warning) == (Decimal(0), None, False)
    with pytest.raises(NotFound, match="user 'ada'"):
        balance(database, ROOT, "acme", "ada")


def test_dead_letters_are_filtered_and_shown_whole(database: Database, record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """The list has reasons and counts, newest first, by reason and status; one by itself has its bytes as they came."""
    put_settings()
    first = event()
    record(first, b"\x1b[2Jnot json\xff", {**first, "price_chf": "7"})
    rows("UPDATE dead_letters SET status = 'DISCARDED' WHERE reason = 'conflict'")
    both = dead_letters.list_dead_letters(database, ROOT)
    assert sorted(d.reason for d in both) == ["conflict", "malformed_json"]
    assert [d.id for d in both] == sorted((d.id for d in both), reverse=True)
    (open_one,) = dead_letters.list_dead_letters(database, ROOT, status=DeadLetterStatus.OPEN)
    (conflict,) = dead_letters.list_dead_letters(database, ROOT, reason=Reason.CONFLICT)
    assert dead_letters.dead_letter(database, ROOT, open_one.id).body == b"\x1b[2Jnot json\xff"
    assert dead_letters.dead_letter(database, ROOT, conflict.id).difference == {"price_chf": ["0.250000000", "7.000000000"]}
    assert dead_letters.list_dead_letters(database, ROOT, reason=Reason.CONFLICT, status=DeadLetterStatus.OPEN) == []
    assert dead_letters.list_dead_letters(database, ROOT, mandate_id="acme") == [conflict]


def test_a_cut_dead_letter_says_so(database: Database, record: Record) -> None:
    """Of more than 256 KiB the first 256 KiB are there, with the length and the hash of all of it."""
    record(b"x" * 300_000, b"short")
    short, cut = [
        dead_letters.dead_letter(database, ROOT, d.id) for d in sorted(dead_letters.list_dead_letters(database, ROOT), key=lambda d: d.body_length)
    ]
    assert (len(cut.body), cut.body_length, cut.body_truncated) == (262_144, 300_000, True)
    assert cut.body_sha256 == hashlib.sha256(b"x" * 300_000).hexdigest()
    assert (short.body, short.body_truncated) == (b"short", False)


def test_parked_events_are_listed_and_counted(database: Database, record: Record) -> None:
    """Parked events come newest first, of one mandate or all, and their number per mandate, the most first."""
    record(event(mandate_id="one"))
    record(event(mandate_id="two"), event(mandate_id="two"))
    assert [p.mandate_id for p in parked_events.list_parked(database, ROOT)] == ["two", "two", "one"]
    assert len(parked_events.list_parked(database, ROOT, mandate_id="two", limit=1)) == 1
    assert [(c.mandate_id, c.events) for c in parked_events.parked_per_mandate(database, ROOT)] == [("two", 2), ("one", 1)]


def test_batches_come_newest_first_with_their_counts(database: Database, record: Record, put_mandate: PutMandate) -> None:
    """Each committed batch tells what became of its events, and whether the rollup has yet to see it."""
    put_mandate()
    first = event()
    record(first, first)
    record(b"nonsense")
    newest, oldest = batches.list_batches(database, ROOT)
    assert (newest.rejected, newest.recorded, newest.rollup_pending) == (1, 0, False)
    assert (oldest.recorded, oldest.duplicate, oldest.rollup_pending, oldest.worker) == (1, 1, True, "test")
