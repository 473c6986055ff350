"""What `celery inspect` and `celery control` can ask of the intake."""

from typing import Any

from celery.worker.control import control_command, inspect_command

from core.schema.revision import head
from core.version import __version__


@inspect_command(name="intake")
def intake(state: Any, **_: Any) -> dict[str, Any]:
    """Intake: queues, state of each pump, messages held, events by outcome, rate; version of the program and revision that it needs."""
    served = _intake_of(state)
    return {**(served.progress() if served else {"state": [], "queues": []}), "version": __version__, "revision": head()}


@control_command(name="intake_pause")
def intake_pause(state: Any, **_: Any) -> dict[str, str]:
    """Stop taking usage messages; the batch in hand is finished."""
    served = _intake_of(state)
    if served is None:
        return {"error": "this worker serves no usage queue"}
    served.pause()
    return {"ok": "intake paused"}


@control_command(name="intake_resume")
def intake_resume(state: Any, **_: Any) -> dict[str, str]:
    """Take usage messages again."""
    served = _intake_of(state)
    if served is None:
        return {"error": "this worker serves no usage queue"}
    served.resume()
    return {"ok": "intake resumed"}


def _intake_of(state: Any) -> Any:
    return getattr(state.consumer.controller, "intake", None)
