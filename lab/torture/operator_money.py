"""What an operator does to balances, accounts, settings and the directory."""

import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from core.asking.rights import ROOT
from core.directory.import_lists import import_directory
from core.directory.sql.mirror import Mandate, Membership, User
from core.movements.adjust import Adjustment, adjust
from core.movements.amend_prices import amend_prices
from core.movements.new_price import NewPrice
from core.movements.refund import Refund, refund
from core.movements.set_account_enabled import AccountEnabling, set_account_enabled
from core.movements.set_credit_limit import CreditLimit, set_credit_limit
from core.movements.switch import ModelSwitch, switch_billing_model
from core.movements.top_up import TopUp, top_up
from core.movements.update_settings import update_settings
from core.recording.backfill_accounts import backfill_accounts
from core.settings.backfill import backfill_settings
from lab.torture.operator_kinds import WORKER, Asked, Kind, World, done, plain

MODELS = ("PREPAY_USER", "PREPAY_MANDATE", "CREDIT_POSTPAY", "UNLIMITED")
ZONES = ("UTC", "Europe/Zurich", "America/New_York", "Asia/Tokyo", "Asia/Kolkata", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Kathmandu")
NOBODY = 2**40  # an account that isn't there
_REFUNDABLE = "reference_type IN ('WORKFLOW', 'PAYMENT', 'ADJUSTMENT') AND amount <> 0"
_TAKEN = 0.15  # of refunds and amendments are of what was amended or refunded already
_TAKEN_BACK = """
    SELECT t.id, t.amount FROM amendments a JOIN transactions t ON t.id = a.reversed_id AND t.recorded_at = a.reversed_recorded_at
     WHERE a.mandate_id = :mandate_id AND t.amount <> 0 ORDER BY a.event_id DESC LIMIT 1
"""
_GIVEN_BACK = """
    SELECT t.event_id FROM refunds r JOIN transactions t ON t.id = r.transaction_id
     WHERE r.mandate_id = :mandate_id AND t.reference_type = 'WORKFLOW' ORDER BY r.refund_transaction_id DESC LIMIT 1
"""
RULES = "rules {mandate_id}"


def _top_up(world: World) -> Asked | None:
    mandate = world.a_mandate()
    account = None if mandate is None else world.an_account(mandate)
    return None if account is None or mandate is None else world.signed(mandate, account_id=account["id"], amount=world.amount())


def _top_up_nobody(world: World) -> Asked | None:
    mandate = world.a_mandate()
    return None if mandate is None else world.signed(mandate, account_id=NOBODY, amount=world.amount())


def _adjust(world: World) -> Asked | None:
    asked = _top_up(world)
    return None if asked is None else {**asked, "amount": world.random.choice(["", "-"]) + asked["amount"], "reason": "Torture"}


def _top_up_anew(world: World) -> Asked | None:
    """Under a key that was used for another amount."""
    found = [intent for intent in world.journal.of_kind("top_up") if done(intent)]
    if not found:
        return None
    asked = world.random.choice(found[-20:]).asked
    return {**asked, "by": world.by, "amount": f"{Decimal(asked['amount']) + 1:f}"}


def _refund(world: World, part: str) -> Asked | None:
    mandate = world.a_mandate()
    if mandate is None:
        return None
    found = [] if part == "above" or world.random.random() > _TAKEN else world.rows(_TAKEN_BACK, mandate_id=mandate)
    found = found or world.some_entries(mandate, _REFUNDABLE, 1)
    if not found:
        return None
    whole = abs(found[0]["amount"])
    units = max(1, int(whole * 10**9) * world.random.randrange(1, 60) // 100)
    amounts = {"whole": None, "part": f"{Decimal(units) / 10**9:f}", "above": f"{whole + 1:f}"}
    return world.signed(mandate, transaction_id=found[0]["id"], amount=amounts[part])


def _amend(world: World) -> Asked | None:
    mandate = world.a_mandate()
    condition = "transaction_type = 'DEBIT' AND reference_type = 'WORKFLOW'"
    if mandate is None:
        return None
    found = world.rows(_GIVEN_BACK, mandate_id=mandate) if world.random.random() < _TAKEN else []
    found = found or world.some_entries(mandate, condition, world.random.randrange(1, 6))
    if not found:
        return None
    prices = [{"mandate_id": mandate, "event_id": one["event_id"], "price_chf": world.amount(1)} for one in found]
    return {"mandate_id": mandate, "key": world.key, "by": world.by, "prices": prices}


def _do_amend(world: World, asked: Mapping[str, Any]) -> dict[str, Any]:
    prices = [NewPrice.read(one) for one in asked["prices"]]
    (totals,) = amend_prices(world.database, ROOT, prices, key=asked["key"], by=asked["by"], worker=WORKER)
    told = {"events": totals.events, "amended": totals.amended, "unchanged": totals.unchanged}
    return {**told, "before": totals.before, "after": totals.after}


def _switch(world: World) -> Asked | None:
    mandate = world.a_mandate()
    return None if mandate is None else world.signed(mandate, billing_model=world.random.choice(MODELS))


def _switch_unseen(world: World) -> Asked | None:
    mandate = world.a_mandate()
    return None if mandate is None else world.signed(mandate, billing_model=world.random.choice(MODELS), expected_version=10**6)


def _limit(world: World) -> Asked | None:
    mandate = world.a_mandate()
    account = None if mandate is None else world.an_account(mandate, pool=True)
    if mandate is None or account is None:
        return None
    return world.signed(mandate, account_id=account["id"], credit_limit=world.random.choice(["0", "5", "100", "100000", None]))


def _limit_of_user(world: World) -> Asked | None:
    mandate = world.a_mandate()
    account = None if mandate is None else world.an_account(mandate, pool=False)
    return None if mandate is None or account is None else world.signed(mandate, account_id=account["id"], credit_limit="5")


def _enable(world: World) -> Asked | None:
    mandate = world.a_mandate()
    account = None if mandate is None else world.an_account(mandate)
    return None if mandate is None or account is None else world.signed(mandate, account_id=account["id"], enabled=world.random.random() < 0.7)


def _settings(world: World) -> Asked | None:
    mandate = world.a_mandate()
    changes: dict[str, Any] = {
        "warning_threshold_percent": world.random.choice(["5", "10", "12.5", "50"]),
        "block_on_zero_balance": world.random.random() < 0.7,
        "notify_on_warning": world.random.random() < 0.7,
        "default_user_credit": world.random.choice(["0", "1", "10", "0.123456789"]),
    }
    named = world.random.sample(sorted(changes), k=world.random.randrange(1, 4))
    return None if mandate is None else {"mandate_id": mandate, "by": world.by, "changes": {name: changes[name] for name in named}}


def _settings_wrong(world: World) -> Asked | None:
    mandate = world.a_mandate()
    return None if mandate is None else {"mandate_id": mandate, "by": world.by, "changes": {"warning_threshold_percent": "101"}}


def _zone(world: World) -> Asked | None:
    mandate = world.a_mandate("m-zone", "m-zone", "m-user", "m-priced")
    return None if mandate is None else {"mandate_id": mandate, "by": world.by, "changes": {"time_zone": world.random.choice(ZONES)}}


def _do_settings(world: World, asked: Mapping[str, Any]) -> dict[str, Any]:
    found = update_settings(world.database, ROOT, asked["mandate_id"], asked["changes"], changed_by=asked["by"], config=world.config)
    return {"version": found.version}


def _directory(world: World) -> Asked | None:
    """Further members, or a mandate of its own; nothing here makes a late mandate known."""
    if world.random.random() < 0.3:
        mandate = f"m-new-{world.journal.next}"
        return {"mandates": {mandate: ["u1", "u2"]}, "zones": {mandate: world.random.choice(ZONES)}}
    mandate_id = world.a_mandate()
    return None if mandate_id is None else {"mandates": {mandate_id: [f"u{world.random.randrange(1, 9)}"]}, "zones": {}}


def _late(world: World) -> Asked | None:
    """The next mandate that nobody knew, once its time has come."""
    begun = world.journal.began or time.time()
    waiting = [mandate for mandate in world.plan.late if mandate not in world.imported()]
    if not waiting:
        return None
    known = len(world.plan.late) - len(waiting)
    due = begun + world.plan.seconds * (1 + known / len(world.plan.late)) / 3
    return None if time.time() < due else late_mandate(world, waiting[0])


def late_mandate(world: World, mandate_id: str) -> Asked:
    """The directory gets to know it, with its users."""
    return {"mandates": {mandate_id: world.plan.mandates[mandate_id]}, "zones": {mandate_id: world.random.choice(ZONES)}}


def _do_directory(world: World, asked: Mapping[str, Any]) -> dict[str, Any]:
    users = {user for members in asked["mandates"].values() for user in members}
    imported = import_directory(
        world.database,
        ROOT,
        mandates=[Mandate(one, f"Mandate {one}", None, enabled=True, time_zone=zone) for one, zone in asked["zones"].items()],
        memberships=[Membership(user, mandate, enabled=True) for mandate, members in asked["mandates"].items() for user in members],
        users=[User(user, user, None) for user in sorted(users)],
    )
    return plain(imported)


def _do_backfill(world: World, _: Mapping[str, Any]) -> dict[str, Any]:
    settings = backfill_settings(world.database, config=world.config, worker=WORKER, at_once=True)
    accounts = backfill_accounts(world.database, config=world.config, worker=WORKER, at_once=True)
    return {"settings": settings, "accounts": accounts}


MONEY = (
    Kind("top_up", _top_up, lambda w, a: plain(top_up(w.database, ROOT, TopUp.read(a))), weight=10),
    Kind("top_up of nobody", _top_up_nobody, lambda w, a: plain(top_up(w.database, ROOT, TopUp.read(a))), weight=1, expect="refused"),
    Kind("top_up anew", _top_up_anew, lambda w, a: plain(top_up(w.database, ROOT, TopUp.read(a))), weight=1, expect="refused"),
    Kind("adjust", _adjust, lambda w, a: plain(adjust(w.database, ROOT, Adjustment.read(a))), weight=8),
    Kind("refund", lambda w: _refund(w, "whole"), lambda w, a: plain(refund(w.database, ROOT, Refund.read(a))), weight=5),
    Kind("refund in part", lambda w: _refund(w, "part"), lambda w, a: plain(refund(w.database, ROOT, Refund.read(a))), weight=5),
    Kind("refund above", lambda w: _refund(w, "above"), lambda w, a: plain(refund(w.database, ROOT, Refund.read(a))), weight=2, expect="refused"),
    Kind("amend", _amend, _do_amend, weight=6),
    Kind("switch", _switch, lambda w, a: plain(switch_billing_model(w.database, ROOT, ModelSwitch.read(a))), weight=6, scope=RULES, expect="done"),
    Kind(
        "switch unseen",
        _switch_unseen,
        lambda w, a: plain(switch_billing_model(w.database, ROOT, ModelSwitch.read(a))),
        weight=1,
        scope=RULES,
        expect="refused",
    ),
    Kind("credit limit", _limit, lambda w, a: plain(set_credit_limit(w.database, ROOT, CreditLimit.read(a))), scope=RULES, expect="done"),
    Kind(
        "credit limit of user",
        _limit_of_user,
        lambda w, a: plain(set_credit_limit(w.database, ROOT, CreditLimit.read(a))),
        weight=1,
        expect="refused",
    ),
    Kind("enable", _enable, lambda w, a: plain(set_account_enabled(w.database, ROOT, AccountEnabling.read(a))), scope=RULES, expect="done"),
    Kind("settings", _settings, _do_settings, weight=5, scope=RULES, expect="done", same=None),
    Kind("settings wrong", _settings_wrong, _do_settings, weight=1, scope=RULES, expect="refused", same=None),
    Kind("zone", _zone, _do_settings, weight=4, scope=RULES, expect="done", same=None),
    Kind("directory", _directory, _do_directory, weight=2, scope="directory", expect="done", same=()),
    Kind("backfill", lambda _: {}, _do_backfill, weight=2, scope="backfill", expect="done", same=None),
)
LATE = Kind("late", _late, _do_directory, scope="directory", expect="done")
