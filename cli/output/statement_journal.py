"""What of a folder of statements is done: its journal, by which the same command goes on where it was ended, and says so of every file."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

from core.billing import BillingModel
from core.errors import Conflict, RequestRefused
from core.json_text import json_text
from core.money import ZERO
from core.printable import shown
from core.reports.stated import BalanceMonth, Statement

JOURNAL = ".statements.jsonl"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Order:
    """Which statements a folder has: of that month and by that moment, of everybody or of these mandates."""

    month: date
    as_of: datetime
    mandate_ids: list[str] | None
    as_json: bool
    provider_cost: bool
    per_user: bool

    @property
    def suffix(self) -> str:
        """What its files end in."""
        return "json" if self.as_json else "html"


@dataclass(frozen=True, slots=True)
class Done:
    """One statement: its file in the folder, and its figures in CHF. Without a `file` there was nothing to state, or it failed by an `error`.

    `users_pay`: of a mandate whose users paid for themselves at some time of the month.
    """

    mandate_id: str
    mandate_name: str
    user_id: str
    file: str
    opening: Decimal
    top_ups: Decimal
    grants: Decimal
    refunds: Decimal
    adjustments: Decimal
    switches: Decimal
    amendments: Decimal
    usage: Decimal
    closing: Decimal
    event_count: int
    cost: Decimal
    billed_cost: Decimal
    unbilled_cost: Decimal
    users_pay: bool = False
    error: str = ""

    @classmethod
    def of(cls, found: Statement, file: str) -> Self:
        """That of a statement, in that file."""
        usage = found.usage
        figures: dict[str, Any] = {field.name: getattr(found.total, field.name) for field in fields(BalanceMonth)}
        figures |= {name: getattr(usage, name) for name in ("event_count", "cost", "billed_cost", "unbilled_cost")}
        users_pay = any(model.billing_model is BillingModel.PREPAY_USER for model in found.billing_models)
        return cls(found.mandate_id, found.mandate_name, found.user_id or "", file, **figures, users_pay=users_pay)

    @classmethod
    def failed(cls, mandate_id: str, user_id: str, error: Exception) -> Self:
        """One that couldn't be made."""
        figures: dict[str, Any] = {field.name: ZERO for field in fields(cls) if field.type is Decimal}
        return cls(mandate_id, mandate_id, user_id, "", **figures, event_count=0, error=str(error) or type(error).__name__)

    @classmethod
    def read(cls, line: dict[str, Any]) -> Self:
        """One out of the journal."""
        amounts = {field.name for field in fields(cls) if field.type is Decimal}
        values: dict[str, Any] = {name: Decimal(value) if name in amounts else value for name, value in line.items()}
        return cls(**values)


class Journal:
    """The open journal of a folder; no two commands have one at the same time."""

    def __init__(self, folder: Path, order: Order, done: list[Done], *, went_on: bool) -> None:
        self.folder, self.order, self.went_on = folder, order, went_on
        self._done = {(one.mandate_id, one.user_id): one for one in done}

    @property
    def done(self) -> list[Done]:
        """All that is done or was tried, by mandate and user."""
        return [self._done[key] for key in sorted(self._done)]

    def users_pay(self, mandate_id: str) -> bool:
        """Whether users of the mandate paid for themselves, by its own statement."""
        found = self._done.get((mandate_id, ""))
        return found is not None and found.users_pay

    def has(self, mandate_id: str, user_id: str = "") -> bool:
        """Whether that statement is there, or was found to be needless; one whose file is gone is made again."""
        found = self._done.get((mandate_id, user_id))
        return found is not None and not found.error and (not found.file or (self.folder / found.file).is_file())

    def add(self, done: Done) -> None:
        """Keeps it, once the file is there whole."""
        self._done[done.mandate_id, done.user_id] = done
        with (self.folder / JOURNAL).open("a", encoding="ascii") as file:
            file.write(json_text(done) + "\n")


@contextmanager
def journal_of(folder: Path, order: Order, *, any_moment: bool, force: bool) -> Iterator[Journal]:
    """The journal of the folder, which is made where it isn't there; one of the same order goes on, as of the moment at which it began.

    Args:
        folder: an empty one, or one with a journal.
        order: what is asked for now.
        any_moment: whether the moment of the order may be another one than the journal's.
        force: to begin again, in whatever folder it is; the files of the journal that is there go.

    Raises:
        RequestRefused: the folder has something else.
        Conflict: another command is at work in it.
        OSError: it can't be read or written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"another command writes statements into {shown(str(folder))}", field="dir", value=folder) from None
        yield _opened(folder, order, any_moment=any_moment, force=force)
    finally:
        os.close(handle)


def _opened(folder: Path, order: Order, *, any_moment: bool, force: bool) -> Journal:
    path = folder / JOURNAL
    if not path.exists():
        if not force and any(folder.iterdir()):
            raise RequestRefused(f"{shown(str(folder))} is not empty: name another folder, or --force", field="dir", value=folder)
    else:
        had, done = _read(path)
        wanted = {**_told(order), "as_of": had.get("as_of")} if any_moment else _told(order)
        if had == wanted and not force:
            _remove_drafts(folder)
            return Journal(folder, _ordered(order, had), done, went_on=True)
        if not force:
            raise RequestRefused(
                f"{shown(str(folder))} has the statements of {had.get('month')} as of {had.get('as_of')}, or of other options:"
                " name another folder, or --force",
                field="dir",
                value=folder,
            )
        for one in done:
            if one.file:
                (folder / one.file).unlink(missing_ok=True)
    draft = folder / f"{JOURNAL}.new"
    draft.write_text(json_text(_told(order)) + "\n", encoding="ascii")
    draft.replace(path)
    return Journal(folder, order, [], went_on=False)


def _told(order: Order) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(json_text({**asdict(order), "format": _FORMAT}))
    return told


def _ordered(order: Order, had: dict[str, Any]) -> Order:
    return Order(**{**{field.name: getattr(order, field.name) for field in fields(Order)}, "as_of": datetime.fromisoformat(had["as_of"])})


def _read(path: Path) -> tuple[dict[str, Any], list[Done]]:
    """The order and what is done; a last line that was cut off by a crash counts for nothing.

    Raises:
        RequestRefused: it is no journal of this version.
    """
    lines = path.read_text(encoding="ascii", errors="replace").split("\n")
    whole = lines[:-1]
    if lines[-1]:
        os.truncate(path, path.stat().st_size - len(lines[-1]))
    try:
        order, *done = [json.loads(line) for line in whole]
        return order, [Done.read(line) for line in done]
    except (ValueError, TypeError, ArithmeticError):
        raise RequestRefused(f"{shown(str(path))} can't be read: name another folder, or --force", field="dir", value=path) from None


def _remove_drafts(folder: Path) -> None:
    """What a command that was killed had begun: hidden files beside those that they were to become."""
    for path in [*folder.glob(".*.html.*"), *folder.glob(".*.json.*"), *folder.glob("*/.*.html.*"), *folder.glob("*/.*.json.*")]:
        if path.suffix[1:].isdigit():
            path.unlink(missing_ok=True)
