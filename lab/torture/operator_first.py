"""The books before a torture run begins, and what an operator does once it is over: through the journal, as all that is done between."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from core.errors import RequestRefused, StorageUnavailable
from lab.torture.operator import KINDS, Operator, open_world
from lab.torture.operator_journal import OperatorJournal
from lab.torture.operator_kinds import World, done
from lab.torture.operator_money import late_mandate
from lab.torture.operator_plan import Plan
from lab.torture.operator_prices import BOOK, CLAUDE, DEFAULTS, GPT, UNLISTED, full_rows

MODELS = {"m-user": "PREPAY_USER", "m-pool": "PREPAY_MANDATE", "m-post": "CREDIT_POSTPAY", "m-free": "UNLIMITED"}
DAYS = 20  # of exchange rates
AGO = timedelta(days=400)
Step = tuple[str, dict[str, Any]]


def first_books(plan: Plan) -> None:
    """The directory, settings, accounts, first top-ups and the first price book.

    Raises:
        StorageUnavailable: the database doesn't answer; call it again, with the same journal.
    """
    with OperatorJournal(plan.journal) as journal:
        world = open_world(plan, journal)
        _answer(world)
        for steps in (_directory, _prices, _money):
            _do(world, steps(world))
        world.database.dispose()


def last_books(plan: Plan) -> None:
    """What is open gets its answer, every mandate is known, every model has a price, and what was parked is released.

    Raises:
        StorageUnavailable: the database doesn't answer; call it again.
    """
    with OperatorJournal(plan.journal) as journal:
        world = open_world(plan, journal)
        _answer(world)
        missing = [mandate for mandate in plan.late if mandate not in world.imported()]
        _do(world, (("late", late_mandate(world, mandate)) for mandate in missing))
        _do(world, _unlisted(world))
        _do(world, [("backfill", {})])
        world.database.dispose()


def _answer(world: World) -> None:
    """What is open gets its answer."""
    operator = Operator(world)
    for intent in [intent for intent in world.journal.intents.values() if intent.is_open]:
        if not operator.attempt(intent):
            raise StorageUnavailable(str(intent.answers[-1]["reason"]))


def _do(world: World, steps: Iterator[Step] | list[Step]) -> None:
    operator = Operator(world)
    for kind, asked in steps:
        scope = KINDS[kind].scope.format_map(asked)
        there = [intent for intent in world.journal.of_kind(kind) if _named(intent.asked) == _named(asked) and done(intent)]
        if there and kind != "backfill":
            continue
        intent = world.journal.intend(kind, asked, scope=scope, expect="done")
        if not operator.attempt(intent):
            raise StorageUnavailable(str(intent.answers[-1]["reason"]))
        if not done(intent):
            raise RequestRefused(f"{kind}: {intent.answers[-1]}")


def _named(asked: dict[str, Any]) -> object:
    """What tells a step from others: who asks is another name each time, and amounts are drawn."""
    return asked.get("step") or {name: value for name, value in asked.items() if name not in ("by", "key", "since")}


def _directory(world: World) -> Iterator[Step]:
    plan = world.plan
    known = {mandate: users for mandate, users in plan.mandates.items() if mandate not in plan.late}
    yield "directory", {"mandates": known, "zones": {mandate: "Europe/Zurich" if "zone" in mandate else "UTC" for mandate in known}}
    for mandate in known:
        model = next((model for prefix, model in MODELS.items() if mandate.startswith(prefix)), "PREPAY_MANDATE")
        yield "settings", {"mandate_id": mandate, "by": world.by, "changes": {"billing_model": model}}
    yield "backfill", {}


def _prices(world: World) -> Iterator[Step]:
    today = datetime.now(UTC).date()
    rates = [{"currency": "USD", "on": str(today - timedelta(days=n)), "rate": f"0.8{n + 2:02}1"} for n in range(-2, DAYS)]
    yield "fx", {"by": world.by, "replace": True, "rates": rates, "step": "first rates"}
    rows = full_rows(world, GPT, CLAUDE) + full_rows(world, GPT, CLAUDE, layer="sale", book=BOOK)
    yield "version", {"by": world.by, "rows": rows, "defaults": DEFAULTS, "step": "first version"}
    plain = {"priority": 0, "provider": None, "book": None, "valid_from": None, "valid_to": None}
    yield "rule", {"by": world.by, "mandate_id": None, "markup_percent": "10", **plain}
    since = (datetime.now(UTC) - AGO).isoformat()
    for mandate in world.plan.mandates:
        if mandate.startswith("m-priced"):
            mode = "computed" if mandate.startswith("m-priced-computed") else "shadow"
            yield "mode", {"by": world.by, "mandate_id": mandate, "mode": mode, "since": since}


def _money(world: World) -> Iterator[Step]:
    pools = world.rows("SELECT id, mandate_id FROM accounts WHERE user_id IS NULL ORDER BY id")
    for pool in pools:
        asked = {"mandate_id": pool["mandate_id"], "account_id": pool["id"]}
        yield "top_up", {**asked, "key": world.key, "by": world.by, "amount": "250"}
        if pool["mandate_id"].startswith("m-post"):
            yield "credit limit", {**asked, "key": world.key, "by": world.by, "credit_limit": "500"}


def _unlisted(world: World) -> Iterator[Step]:
    rows = full_rows(world, UNLISTED) + full_rows(world, UNLISTED, layer="sale", book=BOOK)
    yield "version", {"by": world.by, "rows": rows, "defaults": {}, "step": "last version"}
