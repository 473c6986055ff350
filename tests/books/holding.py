"""What the model of holds asks, asked of the books; and their answers in its words."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from core.asking.rights import ROOT
from core.billing import HoldState
from core.caps import remove_cap as removing
from core.caps import set_cap as setting
from core.caps.judge import CapRefusal
from core.checks.check_balance import BalanceQuestion, check_balance
from core.config import Configuration
from core.database.database import Database
from core.holds.answer import HoldAnswer
from core.holds.authorise import authorise_all
from core.holds.expire import expire_holds
from core.holds.question import HoldName, HoldQuestion, Renewal
from core.holds.release import release_hold
from core.holds.renew import renew_hold
from lab.oracle.caps import ABOUT, Cap, Names
from lab.oracle.hold import Question


@dataclass(frozen=True)
class Told:
    """An answer: as `lab.oracle.hold.Answer`, with caps by their ids."""

    allowed: bool
    reason: str | None
    state: str | None
    cap_id: int | None = None
    opens_at: datetime | None = None
    unjudged: tuple[int, ...] = ()


def question(asked: Question, ttl: timedelta) -> HoldQuestion:
    """As the program takes it."""
    provider, model, feature = asked.names
    what: dict[str, Any] = {"amount": asked.amount} if asked.tokens is None else {"estimated_usage": {"input": asked.tokens}}
    about = {"provider": provider, "model": model, "feature_code": feature}
    fields = {"mandate_id": asked.mandate, "key": asked.key, "user_id": asked.user, "ttl_seconds": int(ttl.total_seconds()), **what, **about}
    return HoldQuestion.read({name: value for name, value in fields.items() if value is not None})


def authorise(database: Database, asked: Question, ttl: timedelta, *, config: Configuration, now: datetime | None) -> Told:
    """One question."""
    (told,) = authorise_several(database, [asked], ttl, config=config, now=now)
    return told


def authorise_several(database: Database, asked: Iterable[Question], ttl: timedelta, *, config: Configuration, now: datetime | None) -> list[Told]:
    """Several questions in one transaction; the first one that is refused as a request is raised."""
    answers = authorise_all(database, ROOT, [question(one, ttl) for one in asked], config=config, clock=now)
    told = []
    for answer in answers:
        if not isinstance(answer, HoldAnswer):
            raise answer
        told.append(_told(answer))
    return told


def _told(answer: HoldAnswer) -> Told:
    assert answer.already_captured == (answer.state is HoldState.CAPTURED)
    reason, state = answer.reason and str(answer.reason), answer.state and str(answer.state)
    return Told(answer.allowed, reason, state, *_of_cap(answer.cap), answer.unjudged_caps)


def _of_cap(refusal: CapRefusal | None) -> tuple[int | None, datetime | None]:
    return (None, None) if refusal is None else (refusal.cap.id, refusal.opens_at)


def renew(database: Database, mandate: str, key: str, ttl: timedelta, *, now: datetime | None) -> Told:
    """A renewal."""
    asked = Renewal.read({"mandate_id": mandate, "key": key, "ttl_seconds": int(ttl.total_seconds())})
    changed = renew_hold(database, ROOT, asked, clock=now)
    return Told(changed.done, None, str(changed.state))


def release(database: Database, mandate: str, key: str, *, now: datetime | None) -> Told:
    """A release."""
    changed = release_hold(database, ROOT, HoldName.read({"mandate_id": mandate, "key": key}), clock=now)
    return Told(changed.done, None, str(changed.state))


def sweep(database: Database, now: datetime | None) -> int:
    """A sweep of all that is over."""
    return expire_holds(database, clock=now)


def set_cap(database: Database, cap: Cap, *, now: datetime | None) -> int:
    """A cap is set; its id."""
    fields = {
        "mandate_id": cap.mandate,
        "by": "test",
        "scope": cap.whom,
        "user_id": cap.user or None,
        "dimension": cap.about or None,
        "value": cap.value or None,
        "period": cap.period,
        "limit_chf": cap.limit,
        "action": "REFUSE" if cap.refuses else "ALERT",
        "shares": list(cap.shares),
    }
    return setting.set_cap(
        database, ROOT, setting.NewCap.read({name: value for name, value in fields.items() if value is not None}), clock=now
    ).cap.id


def remove_cap(database: Database, mandate: str, cap_id: int) -> None:
    """A cap is removed."""
    removing.remove_cap(database, ROOT, removing.CapRemoval.read({"mandate_id": mandate, "cap_id": cap_id, "by": "test"}))


def check(database: Database, mandate: str, user: str, cost: Decimal, names: Names, *, config: Configuration, now: datetime | None) -> Told:
    """A balance check."""
    fields = {"mandate_id": mandate, "user_id": user, "estimated_cost": cost, **dict(zip(ABOUT, names, strict=True))}
    asked = BalanceQuestion.read({name: value for name, value in fields.items() if value is not None})
    answer = check_balance(database, ROOT, asked, config=config, clock=now)
    return Told(answer.allowed, answer.reason and str(answer.reason), None, *_of_cap(answer.cap), answer.unjudged_caps)
