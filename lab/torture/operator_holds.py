"""What applications and operators do to holds and caps, and to events that are parked or refused."""

import json
from collections.abc import Mapping
from typing import Any

from core.asking.rights import ROOT
from core.caps.remove_cap import CapRemoval, remove_cap
from core.caps.set_cap import NewCap, set_cap
from core.dead_letters.discard import discard_dead_letters
from core.dead_letters.replay import Replaying, replay_dead_letters
from core.dead_letters.sql.status import Choice
from core.holds.authorise import authorise
from core.holds.expire import expire_holds
from core.holds.question import HoldName, HoldQuestion, Renewal
from core.holds.release import release_hold
from core.holds.renew import renew_hold
from core.recording.settle_parked import Settlement, settle_parked
from lab.torture.operator_kinds import WORKER, Asked, Kind, NotGranted, World, plain
from lab.torture.operator_prices import GPT

CAPS: tuple[dict[str, Any], ...] = (
    {"period": "DAY", "scope": "ALL", "action": "ALERT"},
    {"period": "WEEK", "scope": "EACH_USER"},
    {"period": "MONTH", "scope": "USER", "user_id": "u1"},
    {"period": "TOTAL", "scope": "ALL", "dimension": "model", "value": GPT[1]},
)
_CAP = "caps {mandate_id}"


def _authorise(world: World) -> Asked | None:
    mandate = world.a_mandate()
    if mandate is None:
        return None
    users = world.plan.mandates.get(mandate, ["u1"])
    asked: Asked = {"mandate_id": mandate, "key": f"hold-{world.key}", "user_id": world.random.choice(users)}
    asked["ttl_seconds"] = world.random.choice([2, 5, 60, 900])
    if mandate.startswith("m-priced") and world.random.random() < 0.3:
        provider, model, _ = GPT
        return {**asked, "provider": provider, "model": model, "estimated_usage": {"input": world.random.randrange(1, 9_000), "output": 200}}
    return {**asked, "amount": world.random.choice(["0", "0.003", "0.5", "2.5"])}


def _authorise_much(world: World) -> Asked | None:
    mandate = world.a_mandate()
    return None if mandate is None else {"mandate_id": mandate, "key": f"hold-{world.key}", "user_id": "u1", "amount": "999999999"}


def _do_authorise(world: World, asked: Mapping[str, Any]) -> dict[str, Any]:
    told = authorise(world.database, ROOT, HoldQuestion.read(asked), config=world.config, known_accounts=world.known)
    if told.reason is not None:
        raise NotGranted(str(told.reason))
    if told.allowed and not told.repeated:
        line = {"mandate_id": asked["mandate_id"], "user_id": asked["user_id"], "hold_key": told.key, "amount": told.amount}
        with world.plan.open_holds.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, default=str) + "\n")
    state = "NONE" if told.state is None else "KEPT"
    return {"key": told.key, "amount": told.amount, "state": state}


def _open_hold(world: World) -> Asked | None:
    mandate = world.a_mandate()
    sql = "SELECT hold_key FROM holds WHERE mandate_id = :mandate_id AND settled_at IS NULL ORDER BY expires_at LIMIT 20"
    found = world.rows(sql, mandate_id=mandate)
    return {"mandate_id": mandate, "key": world.random.choice(found)["hold_key"]} if found else None


def _renew(world: World) -> Asked | None:
    asked = _open_hold(world)
    return None if asked is None else {**asked, "ttl_seconds": world.random.choice([1, 5, 60])}


def _do_release(world: World, asked: Mapping[str, Any]) -> dict[str, Any]:
    told = release_hold(world.database, ROOT, HoldName.read(asked), known_accounts=world.known)
    return {"state": told.state, "captured": told.captured, "released": told.released, "expired": told.expired}


def _do_renew(world: World, asked: Mapping[str, Any]) -> dict[str, Any]:
    return {"state": renew_hold(world.database, ROOT, Renewal.read(asked)).state}


def _cap(world: World) -> Asked | None:
    mandate = world.a_mandate()
    if mandate is None:
        return None
    limit = world.random.choice(["0.5", "5", "500", "5000"])
    return {"mandate_id": mandate, "by": world.by, "limit_chf": limit, **world.random.choice(CAPS)}


def _do_cap(world: World, asked: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": set_cap(world.database, ROOT, NewCap.read(asked)).cap.id}


def _uncap(world: World) -> Asked | None:
    mandate = world.a_mandate()
    found = world.rows("SELECT id FROM caps WHERE mandate_id = :mandate_id AND removed_at IS NULL ORDER BY id", mandate_id=mandate)
    return {"mandate_id": mandate, "by": world.by, "cap_id": world.random.choice(found)["id"]} if found else None


def _do_uncap(world: World, asked: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": remove_cap(world.database, ROOT, CapRemoval.read(asked)).id}


def _settle(world: World) -> Asked | None:
    found = world.rows("SELECT mandate_id, event_id FROM parked_events WHERE priced_under > 0 ORDER BY received_at LIMIT 20")
    if not found:
        return None
    return {**world.random.choice(found), "price_chf": world.amount(1), "reason": "Torture", "by": world.by}


def _do_settle(world: World, asked: Mapping[str, Any]) -> dict[str, Any]:
    return plain(settle_parked(world.database, ROOT, Settlement.read(asked), config=world.config, worker=WORKER))


def _letters(world: World) -> Asked | None:
    found = world.rows("SELECT id FROM dead_letters WHERE status = 'OPEN' ORDER BY id LIMIT 200")
    ids = sorted(one["id"] for one in world.random.sample(found, k=min(len(found), 3)))
    return {"by": world.by, "ids": ids} if ids else None


def _do_replay(world: World, asked: Mapping[str, Any]) -> dict[str, Any]:
    how = Replaying(world.config, WORKER, asked["by"])
    told = replay_dead_letters(world.database, ROOT, Choice(ids=asked["ids"]), how)
    return {"replayed": told.replayed, "still_open": told.still_open, "not_whole": told.not_whole}


def _do_discard(world: World, asked: Mapping[str, Any]) -> dict[str, Any]:
    return {"discarded": discard_dead_letters(world.database, ROOT, Choice(ids=asked["ids"]), by=asked["by"], resolution="Torture")}


HOLDS = (
    Kind("authorise", _authorise, _do_authorise, weight=20, same=("key", "amount")),
    Kind("authorise much", _authorise_much, _do_authorise, weight=2, same=("key", "amount")),
    Kind("release", _open_hold, _do_release, weight=4, same=()),
    Kind("renew", _renew, _do_renew, weight=3, same=None),
    Kind("expire", lambda _: {}, lambda w, _: {"expired": expire_holds(w.database)}, weight=1, same=None),
    Kind("cap", _cap, _do_cap, weight=3, scope=_CAP, expect="done", same=None),
    Kind("uncap", _uncap, _do_uncap, weight=1, scope=_CAP, expect="done", same=("id",)),
    Kind("settle parked", _settle, _do_settle, weight=2),
    Kind("replay", _letters, _do_replay, weight=2, same=None),
    Kind("discard", _letters, _do_discard, weight=1, same=None),
)
