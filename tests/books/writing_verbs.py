"""The verbs that write many rows at once, each as test_plans.py runs it: for `n` elements, on books of its own making within the large ones."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

from msgspec.structs import replace

from core.alerts.publish import ALERTS_MAX, publish_alerts
from core.asking.rights import ROOT
from core.billing import BillingModel, CapPeriod, CapScope
from core.caps.counters import Moved, move_counters
from core.caps.judge import lock_counters
from core.caps.model import Cap, Caps, Spending
from core.caps.set_cap import NewCap, set_cap
from core.dead_letters import discard as discarding
from core.dead_letters.replay import Replaying, replay_dead_letters
from core.dead_letters.sql.status import Choice
from core.directory.import_lists import import_directory
from core.directory.sql.mirror import Mandate, Membership, User
from core.events.outcome import Outcome
from core.holds.answer import HoldAnswer
from core.holds.authorise import authorise_all
from core.holds.expire import expire_holds
from core.holds.question import HoldQuestion
from core.housekeeping.housekeep import LETTERS_PER_TRANSACTION_MAX, housekeep
from core.importing.files import find_book_files
from core.importing.import_books import import_books
from core.ledger.opening import KnownAccounts
from core.movements.adjust import Adjustment, adjust
from core.movements.amend_prices import amend_prices
from core.movements.new_price import NewPrice
from core.movements.refund import Refund, refund
from core.movements.revert_prices import Reverting, revert_prices
from core.movements.switch import ModelSwitch, switch_billing_model
from core.outcomes.publish import OUTCOMES_MAX, publish_outcomes
from core.producers.forget import forget_producers
from core.producers.merge import merge_producers
from core.recording.backfill_accounts import backfill_accounts
from core.recording.record_usage import record_usage
from core.recording.release_parked import release_all_parked
from core.settings.backfill import backfill_settings
from core.statistics import roll_up as rolling_up
from core.statistics.rebuild import rebuild_statistics
from core.verifying.sql.findings import keep_findings
from core.verifying.sql.invariants.invariant import Breach
from tests.books.plans import MANDATES, PARKED, USERS, Books
from tests.sample_events import event, raw

_DEAD_LETTERS = """
    INSERT INTO dead_letters (body_sha256, body, body_length, typed_json, origin, reason, detail, status, resolved_at, last_seen_at)
    SELECT sha256(CAST(:name || i AS bytea)), '{}', 2, false, 'queue usage.json', :name, 'x', :status,
           CASE :status WHEN 'OPEN' THEN NULL ELSE now() - interval '1 year' END, now() - interval '1 year'
      FROM generate_series(1, :n) i
"""


def record(books: Books, n: int) -> None:
    """Usage of members who have accounts; then the same events, and others under the same keys."""
    fields = [{"event_id": books.name(), "mandate_id": m, "user_id": u} for m, u in books.holders(n)]
    for price, outcome in (("0.25", Outcome.RECORDED), ("0.25", Outcome.DUPLICATE), ("0.5", Outcome.CONFLICT)):
        assert _recorded(books, ({**own, "price_chf": price} for own in fields)) == {outcome}


def record_newcomers(books: Books, n: int) -> None:
    """Usage of members for whom an account has to be opened, with its grant."""
    _recorded(books, ({"event_id": books.name(), "mandate_id": m, "user_id": u} for m, u in put_newcomers(books, n)))


def put_newcomers(books: Books, n: int) -> list[tuple[str, str]]:
    """So many new members, spread over the mandates; none has an account."""
    name = books.name()
    _put_members(books, name, n, "'m' || i % :mandates", mandates=MANDATES)
    return [(f"m{i % MANDATES}", f"{name}{i}") for i in range(n)]


def record_new_mandates(books: Books, n: int) -> None:
    """Usage of mandates that have no settings."""
    name = _put_mandates(books, n)
    _put_members(books, name, n, ":name || i")
    _recorded(books, ({"event_id": books.name(), "mandate_id": f"{name}{i}", "user_id": f"{name}{i}"} for i in range(n)))


def park(books: Books, n: int) -> None:
    """Usage of mandates that nobody knows, beside a full car park: all of it is parked, copies too, and where there is no room it is refused."""
    name = books.name()
    fields = [{"event_id": books.name(), "mandate_id": f"{name}{i % 500}"} for i in range(n)]
    for outcome in (Outcome.PARKED, Outcome.DUPLICATE):
        assert _recorded(books, fields, parked_max=2 * PARKED) == {outcome}
    assert _recorded(books, ({**own, "event_id": books.name()} for own in fields)) == {Outcome.REJECTED}


def release(books: Books, n: int) -> None:
    """Recording what was parked once its mandates are known, and looking for more where there is none."""
    name = _put_mandates(books, n)
    books.sql("UPDATE directory_mandates SET enabled = false WHERE id LIKE :name || '%'", name=name)
    _put_members(books, name, n, ":name || i")
    fields = ({"event_id": books.name(), "mandate_id": f"{name}{i}", "user_id": f"{name}{i}"} for i in range(n))
    assert _recorded(books, fields, parked_max=2 * PARKED) == {Outcome.PARKED}
    books.sql("UPDATE directory_mandates SET enabled = true WHERE id LIKE :name || '%'", name=name)
    assert release_all_parked(books.database, config=books.config, worker="test").counts()[Outcome.RECORDED] == n
    assert release_all_parked(books.database, config=books.config, worker="test").outcomes == []


def authorise(books: Books, n: int) -> None:
    """Holds of members who have accounts; then the same again, more than there is, and their sweep."""
    name = books.name()

    def ask(amount: str, suffix: str) -> list[bool]:
        fields = [{"mandate_id": m, "user_id": u, "key": f"{name}-{suffix}{i}", "amount": amount} for i, (m, u) in enumerate(books.holders(n))]
        answers = authorise_all(books.database, ROOT, [HoldQuestion.read(one) for one in fields], config=books.config)
        return [answer.allowed for answer in answers if isinstance(answer, HoldAnswer)]

    assert ask("0.25", "a") == ask("0.25", "a") == [True] * n
    assert ask("1000", "b") == [False] * n
    books.sql("UPDATE holds SET expires_at = now() - interval '1 second' WHERE settled_at IS NULL")
    assert expire_holds(books.database) == n


def roll_up(books: Books, n: int) -> None:
    """Adding up what was recorded, each event in a group of its own."""
    books.sql("DELETE FROM rollup_pending")
    _recorded(books, ({"event_id": books.name(), "mandate_id": m, "user_id": u} for m, u in books.holders(n)))
    assert rolling_up.roll_up_usage(books.database).events == n


def catch_up(books: Books, n: int) -> int:
    """The first parts of a rollup for which a long time's batches wait."""
    part = 100
    books.sql(
        """INSERT INTO batches (id, worker, kind, committed_at, recorded, first_transaction_id, last_transaction_id)
           SELECT nextval('batches_id_seq'), 'test', 'usage', now(), 1, 10000000 + i, 10000000 + i FROM generate_series(1, 20000 + :n) i""",
        n=n,
    )
    books.sql("DELETE FROM rollup_pending")
    books.sql("INSERT INTO rollup_pending SELECT id FROM batches")
    with mock.patch.multiple(rolling_up, BATCHES_MAX=part, TRANSACTIONS_MAX=3):
        assert rolling_up.roll_up_usage(books.database).batches == 3 * part
    return part


def rebuild(books: Books, n: int) -> int:
    """Counting a mandate's statistics anew: all are missing, all are right, all are too many. Each event stands in several of them."""
    name = _used_mandate(books, n)
    rolling_up.roll_up_usage(books.database)
    assert rebuild_statistics(books.database, ROOT, name).rows_written == 0
    books.sql("DELETE FROM usage_statistics WHERE mandate_id = :name", name=name)
    written = rebuild_statistics(books.database, ROOT, name).rows_written
    assert n < written <= 3 * n
    books.sql("UPDATE usage_statistics SET model = model || '!' WHERE mandate_id = :name", name=name)
    assert rebuild_statistics(books.database, ROOT, name).rows_removed > n
    return written


def discard(books: Books, n: int) -> int:
    """Discarding letters in many parts."""
    name, part = books.name(), 50
    books.sql("UPDATE dead_letters SET status = 'DISCARDED' WHERE status = 'OPEN'")
    books.sql(_DEAD_LETTERS, name=name, n=n, status="OPEN")
    with mock.patch.object(discarding, "LETTERS_MAX", part):
        assert discarding.discard_dead_letters(books.database, ROOT, Choice(reason=name), by="test", resolution="x") == n
    return part


def replay(books: Books, n: int) -> int:
    """Replaying letters that are refused again."""
    name = books.name()
    books.sql("UPDATE dead_letters SET status = 'DISCARDED' WHERE status = 'OPEN'")
    books.sql(_DEAD_LETTERS, name=name, n=n, status="OPEN")
    done = replay_dead_letters(books.database, ROOT, Choice(reason=name), Replaying(books.config, "test", "test"))
    assert done.still_open == n
    return n


def age_out(books: Books, n: int) -> int:
    """Removing letters that were resolved long ago, behind others that are kept."""
    books.sql("DELETE FROM job_runs")
    books.sql(_DEAD_LETTERS, name=books.name(), n=n, status="OPEN")
    books.sql(_DEAD_LETTERS, name=books.name(), n=n, status="DISCARDED")
    assert housekeep(books.database, config=books.config, worker="test") is not None
    return max(n, LETTERS_PER_TRANSACTION_MAX)


class _Queue:
    """A queue that takes everything."""

    def room(self) -> int:
        return 1_000_000

    def put(self, bodies: Iterable[bytes]) -> None:
        """Takes them."""


def publish(books: Books, n: int) -> int:
    """Publishing alerts while many wait."""
    books.sql(
        """INSERT INTO balance_alerts (mandate_id, account_id, kind, recovered, balance_before, balance_after, threshold, settings_version)
           SELECT mandate_id, id, 'WARNING', false, 10, 1, 1, 1 FROM accounts WHERE id <= :n AND mandate_id LIKE 'm%'""",
        n=n,
    )
    while publish_alerts(books.database, _Queue()).published:
        pass
    return ALERTS_MAX


def merge_numbers(books: Books, n: int) -> None:
    """Merging what came of producers that are known and have gaps, among many others; then forgetting those that are gone."""
    name = books.name()
    for age, first, last in (("1 year", 1, 2 * n), ("1 day", 2 * n + 1, 3 * n)):
        numbers = {"name": name, "age": age, "first": first, "last": last}
        books.sql(
            """INSERT INTO producers (producer_id, highest, first_seen_at, last_seen_at)
               SELECT :name || i, 9, now() - CAST(:age AS interval), now() - CAST(:age AS interval)
                 FROM generate_series(CAST(:first AS int), CAST(:last AS int)) i""",
            **numbers,
        )
        books.sql(
            """INSERT INTO producer_gaps (producer_id, first_seq, last_seq, since)
               SELECT :name || i, g, g + 1, now() FROM generate_series(CAST(:first AS int), CAST(:last AS int)) i, generate_series(2, 7, 3) g""",
            **{one: numbers[one] for one in ("name", "first", "last")},
        )
    books.sql(
        "INSERT INTO producer_ranges (producer_id, seen) SELECT :name || i, '{[2,3),[12,13)}' FROM generate_series(1, CAST(:n AS int)) i",
        name=name,
        n=n,
    )
    assert merge_producers(books.database).producers == n
    assert forget_producers(books.database, 90) >= n


def tell_producers(books: Books, n: int) -> int:
    """Telling refused events while many wait."""
    asked = [replace(raw(b"{%d" % i), told_on="tollbook.outcomes.shop") for i in range(n)]
    record_usage(books.database, asked, config=books.config, known_accounts=KnownAccounts(), worker="test")
    while publish_outcomes(books.database, "tollbook.outcomes.shop", _Queue()):
        pass
    return OUTCOMES_MAX


def refund_again(books: Books, n: int) -> int:
    """One more refund of an entry that has `n`."""
    name = books.name()
    (account_id,) = books.sql("SELECT id FROM accounts WHERE mandate_id = 'm1' AND user_id = 'u1'")[0]
    asked = {"mandate_id": "m1", "by": "test", "reason": "x"}
    entry = adjust(books.database, ROOT, Adjustment.read({**asked, "account_id": account_id, "amount": "1000000", "key": name}))
    refunding = {**asked, "transaction_id": entry.transaction_id, "amount": "1"}
    refund(books.database, ROOT, Refund.read({**refunding, "key": f"{name}:1"}))
    books.sql(
        """INSERT INTO refunds (mandate_id, refund_transaction_id, transaction_id, amount, refunded)
           SELECT 'm1', -10000 * :id - i, :id, 0.5, 1 FROM generate_series(1, :n) i""",
        id=entry.transaction_id,
        n=n,
    )
    done = refund(books.database, ROOT, Refund.read({**refunding, "key": f"{name}:2"}))
    assert done.refundable == 1_000_000 - 2
    return 1


def amend(books: Books, n: int) -> int:
    """Amending the prices of a mandate's events, and reverting that, for which each mandate is asked for the key."""
    name = _used_mandate(books, n)
    prices = [NewPrice.read({"mandate_id": name, "event_id": f"{name}-{i}", "price_chf": "0.5"}) for i in range(n)]
    (totals,) = amend_prices(books.database, ROOT, prices, key=name, by="test", worker="test")
    assert totals.amended == n
    (totals,) = revert_prices(books.database, ROOT, Reverting(name, "test", "test"))
    assert totals.amended == n
    return max(n, MANDATES)


def switch(books: Books, n: int) -> None:
    """Switching a mandate of so many members, half of whom have accounts, to its pool and back."""
    name = _put_settled_mandate(books)
    _put_members(books, name, n, ":name")
    books.sql(
        """INSERT INTO accounts (mandate_id, user_id, account_type, opened_version)
           SELECT mandate_id, user_id, 'USER', 1 FROM directory_memberships WHERE mandate_id = :name AND hashtext(user_id) % 2 = 0""",
        name=name,
    )
    for model in (BillingModel.PREPAY_MANDATE, BillingModel.PREPAY_USER):
        asked = {"mandate_id": name, "billing_model": model, "key": f"{name} {model}", "by": "test"}
        switch_billing_model(books.database, ROOT, ModelSwitch.read(asked))


def import_the_directory(books: Books, n: int) -> None:
    """Mandates, members and users out of files, twice: new ones, and those that are there."""
    name = books.name()
    for enabled in (None, True):
        import_directory(
            books.database,
            ROOT,
            mandates=[Mandate(f"{name}{i}", "x", None, enabled, None) for i in range(n)],
            memberships=[Membership(f"{name}{i}", f"m{i % MANDATES}", enabled) for i in range(n)],
            users=[User(f"{name}{i}", None, None) for i in range(n)],
        )


def import_old_books(books: Books, n: int) -> int:
    """Settings, accounts and entries of as many mandates, which are then read back once, by the time at which they were written."""
    name = books.name()
    with TemporaryDirectory() as folder:
        ids = [(f"{name}{i}", f"{name}-{i}") for i in range(n)]
        _write(folder, "settings.csv", "mandate_id,billing_model", [f"{m},PREPAY_USER" for m, _ in ids])
        _write(folder, "accounts.csv", "mandate_id,user_id,balance", [f"{m},ada,1" for m, _ in ids])
        _write(
            folder,
            "transactions.csv",
            "id,event_id,mandate_id,user_id,transaction_type,reference_type,amount,occurred_at",
            [f"{e},{e},{m},ada,DEBIT,WORKFLOW,1,2024-01-01T00:00:00Z" for m, e in ids],
        )
        import_books(books.database, ROOT, find_book_files(Path(folder)), by="test", worker="test", config=books.config)
    return max(n, MANDATES * USERS // 4)


def backfill(books: Books, n: int) -> int:
    """Settings and accounts of mandates and members that have none, in pages that are mostly complete; all settings are looked at once."""
    _put_mandates(books, n)
    _put_members(books, books.name(), n, "'m' || i % :mandates", mandates=MANDATES)
    assert backfill_settings(books.database, config=books.config, worker="test", at_once=True) is not None
    assert backfill_accounts(books.database, config=books.config, worker="test", at_once=True) is not None
    return max(n, 2 * MANDATES)


def find_breaches(books: Books, n: int) -> None:
    """Keeping findings: new ones, and then others in their place."""
    for _ in range(2):
        name = books.name()
        with books.database.transaction() as connection:
            keep_findings(connection, "I0", [Breach(f"{name} {i}", "x") for i in range(n)], are_all=True)


def _recorded(books: Books, fields: Iterable[dict[str, str]], *, parked_max: int = PARKED) -> set[str]:
    events, config = [raw(event(**own)) for own in fields], books.config.model_copy(update={"parked_limit_total": parked_max})
    return set(record_usage(books.database, events, config=config, known_accounts=KnownAccounts(), worker="test").outcomes)


def _used_mandate(books: Books, n: int) -> str:
    """A new mandate with as many events, each by a user and of a model of its own, which is also its name's."""
    name = _put_settled_mandate(books)
    _put_members(books, name, n, ":name")
    events = [{"event_id": f"{name}-{i}", "mandate_id": name, "user_id": f"{name}{i}", "model": f"m{i}"} for i in range(n)]
    books.sql("DELETE FROM rollup_pending")
    assert _recorded(books, events) == {Outcome.RECORDED}
    return name


def _put_settled_mandate(books: Books) -> str:
    name = books.name()
    for table, columns in (("billing_settings", ""), ("billing_settings_history", ", changed_by")):
        books.sql(
            f"""INSERT INTO {table} (mandate_id, version, billing_model, default_user_credit, warning_threshold_percent,
                                     block_on_zero_balance, notify_on_warning, time_zone{columns})
                VALUES (:name, 1, 'PREPAY_USER', 10, 10, true, true, 'UTC'{columns and ", 'test'"})""",
            name=name,
        )
    books.sql("INSERT INTO directory_mandates (id, name) VALUES (:name, 'x')", name=name)
    return name


def _put_mandates(books: Books, n: int) -> str:
    name = books.name()
    books.sql("INSERT INTO directory_mandates (id, name) SELECT :name || i, 'x' FROM generate_series(0, :n - 1) i", name=name, n=n)
    return name


def _put_members(books: Books, name: str, n: int, mandate: str, **parameters: object) -> None:
    """As many members, called by name and number, each of the mandate that `mandate` (SQL, of i) says."""
    books.sql(
        f"INSERT INTO directory_memberships (mandate_id, user_id) SELECT {mandate}, :name || i FROM generate_series(0, :n - 1) i",
        name=name,
        n=n,
        **parameters,
    )


def _write(folder: str, name: str, head: str, lines: list[str]) -> None:
    (Path(folder) / name).write_text("\n".join([head, *lines, ""]), encoding="utf-8")


def count_in_caps(books: Books, n: int) -> None:
    """Moving counters of as many users, new ones and such as are there, among very many others; locking, judging and letting go of what is held."""
    books.sql(
        """INSERT INTO cap_counters (cap_id, user_id, window_start, spent) SELECT 1000000 + i % 20, 'u' || i, '2026-01-01', 1
             FROM generate_series(1, 100000) i ON CONFLICT DO NOTHING""",
    )
    name, day = books.name(), date(2026, 5, 5)
    asked = NewCap(mandate_id="m1", by="test", period=CapPeriod.TOTAL, limit_chf=Decimal(1000), scope=CapScope.EACH_USER)
    kept = set_cap(books.database, ROOT, asked).cap
    cap = Cap(kept.id, "m1", kept.scope, "", None, "", kept.period, kept.limit_chf, kept.action, tuple(kept.shares), kept.first_day)
    caps, users = Caps([cap]), [Spending("m1", f"{name}{i}", None, None, None) for i in range(n)]
    for spent, held in (("1", "0"), ("1", "5"), ("600", "-5")):
        with books.database.transaction() as connection:
            move_counters(connection, {"m1": caps}, [Moved(user, day, Decimal(spent), Decimal(held)) for user in users], None)
    with books.database.transaction() as connection:
        counters = lock_counters(connection, [(caps, user, day) for user in users], {"m1": "UTC"}, None)
        for user in users:
            assert counters.refusal(caps, user, day) is None
            counters.hold(caps, user, day, Decimal(1))
        counters.save()
