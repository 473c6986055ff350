"""What the log is told of a batch once it is committed: what could not be recorded and why, and which lines were crossed.

One line for each, whatever the size of the batch, and nothing of what the events hold but the ids of mandates.
"""

import re
from collections import Counter
from collections.abc import Iterable

import structlog

from core.events.outcome import Outcome
from core.printable import shown
from core.recording.delivery import Delivery
from core.recording.pricing import is_suspended
from core.recording.work import Settled
from core.rejection import Reason, Rejection

log = structlog.get_logger()

_NAMED_MAX = 5
_SENT = re.compile(r"( \(got |, as |; the first came ).*", re.DOTALL)  # where details tell what was sent
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|['\"].*", re.DOTALL)  # one that was cut short has no end
_QUIET = frozenset({Reason.DATA_ERROR})  # the database's own words may have any value in them


def log_batch(deliveries: Iterable[Delivery], settled: Settled) -> None:
    """Tells of what was refused and parked, and of balances and caps that crossed a line; nothing where all is well."""
    refused = [d.rejection for d in deliveries if d.rejection is not None]
    if refused:
        by_reason = Counter(rejection.reason.value for rejection in refused)
        see = "tollbook deadletters list --status OPEN"
        log.warning("usage.refused", events=len(refused), reasons=dict(sorted(by_reason.items())), example=without_values(refused[0]), see=see)
    parked = Counter(d.key[0] for d in deliveries if d.outcome is Outcome.PARKED and not is_suspended(d))
    if parked:
        named = [shown(mandate_id) for mandate_id, _ in parked.most_common(_NAMED_MAX)]
        log.warning("usage.parked", events=parked.total(), mandates=len(parked), most_of=named, see="tollbook parked list --per-mandate")
    crossed = [alert for alert in settled.balance_alerts if not alert.crossing.recovered]
    if crossed:
        lines = Counter(alert.crossing.kind.value for alert in crossed)
        accounts = sorted({alert.account.id for alert in crossed})
        log.warning("balances.crossed", lines=dict(sorted(lines.items())), accounts=accounts[:_NAMED_MAX], see="tollbook alerts")
    reached = [alert for alert in settled.cap_alerts if not alert.reached.recovered]
    if reached:
        shares = Counter(f"{alert.reached.share} %" for alert in reached)
        caps = sorted({alert.cap.id for alert in reached})
        log.warning("caps.reached", shares=dict(sorted(shares.items())), caps=caps[:_NAMED_MAX], see="tollbook alerts")


def without_values(rejection: Rejection) -> str:
    """A detail without what was sent: which field, and what is wrong with it."""
    if rejection.reason in _QUIET:
        return rejection.reason.value
    return f"{rejection.reason}: {_QUOTED.sub('…', _SENT.sub('', rejection.detail))}"
