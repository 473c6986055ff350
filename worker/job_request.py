"""What Flower hears of scheduled jobs: only of those that turned out to have done something, and of every failure.

The schedule asks far more often than there is work, and Flower keeps a bounded number of tasks: a list of ticks would hide what happened.
"""

from ast import literal_eval
from time import time
from typing import Any

from celery.worker.request import Request


class JobRequest(Request):
    """A request whose events are withheld until it is known what came of it. Nothing else is different: `inspect active` shows it as ever."""

    def send_event(self, type: str, **fields: Any) -> None:  # noqa: A002 - the name that Celery gives it
        """Keeps that it started; sends that with its end, unless it ended well and has done nothing."""
        eventer: Any = self._eventer  # type: ignore[attr-defined]
        if not (eventer and eventer.enabled):
            return
        if type == "task-started":
            self._started_at = time()
            return
        if _is_idle(type, fields):
            return
        eventer.send("task-received", uuid=self.id, **self._as_received())
        started_at = getattr(self, "_started_at", None)
        if started_at is not None:
            eventer.send("task-started", uuid=self.id, timestamp=started_at)
        eventer.send(type, uuid=self.id, **fields)

    def _as_received(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "args": self.argsrepr,
            "kwargs": self.kwargsrepr,
            "root_id": self.root_id,
            "parent_id": self.parent_id,
            "retries": self.request_dict.get("retries", 0),
            "eta": self.eta and self.eta.isoformat(),
            "expires": self.expires and self.expires.isoformat(),
            "timestamp": getattr(self, "_started_at", time()),
        }


def _is_idle(kind: str, fields: dict[str, Any]) -> bool:
    """Whether it ended well with nothing done, or was never begun since the schedule had asked again meanwhile."""
    if kind == "task-revoked":
        return bool(fields.get("expired"))
    return kind == "task-succeeded" and did_nothing(str(fields.get("result")))


def did_nothing(result: str) -> bool:
    """Whether a job that returned this, as text, had nothing to do: none, 0, nothing in a list."""
    try:
        value = literal_eval(result)
    except (ValueError, SyntaxError):  # cut short, so that there was much
        return False
    return not value
