"""`tollbook`: the commands, each loaded when it is asked for, so that help comes at once."""

import io
import json
import sys
from collections.abc import MutableMapping, Sequence
from importlib import import_module
from typing import Annotated, Any

import structlog
import typer
from typer.core import TyperCommand, TyperGroup

from cli.acting import ROOT, act_as
from cli.common import complete
from cli.output.exits import DONE, FAILED, INTERRUPTED, USAGE, code_of, kind_of
from cli.output.format import errors_as_json, reset
from cli.output.notes import refuse, tell_error
from core.errors import LinesRefused, RequestRefused, TollbookError
from core.version import __version__

# A command's name: the module whose `app` it is, and its line in the help. A new command is one line here.
COMMANDS = {
    "status": ("cli.status", "How recording, queues, workers and books are, on one screen; --watch."),
    "doctor": ("cli.doctor", "Whether everything is set up so that one can sleep, and what to do where it isn't."),
    "services": ("cli.services", "Embedded PostgreSQL and Valkey: up, status, down, env."),
    "db": ("cli.db", "The tables: upgrade, check, cloud-events."),
    "settings": ("cli.settings", "Billing settings of mandates: show, list, history, create, get-or-create, update."),
    "accounts": ("cli.accounts", "Accounts: list, show, open, enable, disable, credit-limit."),
    "balance": ("cli.balance", "The balance that pays for a mandate's or a user's usage, now or at a day's end."),
    "balances": ("cli.balances", "Balances over many: user, mandates, users; --low: those that warn."),
    "check": ("cli.check", "Whether a user may make an AI call now."),
    "caps": ("cli.caps", "How much may be used in a day, week, month or ever: set, list, show, remove, alerts."),
    "hold": ("cli.hold", "Money kept for a call before it is made: authorise, renew, release, show."),
    "holds": ("cli.holds", "Holds of many calls: list; expired: authorised, never billed."),
    "topup": ("cli.top_up", "Credit a payment to a pool or a user's account."),
    "adjust": ("cli.adjust", "Set the balance of a pool or a user's account right."),
    "refund": ("cli.refund", "Give usage, a top-up or an adjustment back."),
    "switch": ("cli.switch", "Switch a mandate to another billing model, and its balances with it."),
    "transactions": ("cli.transactions", "Transactions of a mandate, account or user."),
    "twins": ("cli.twins", "Usage that may have been sent twice under two ids."),
    "explain": ("cli.explain", "Where a transaction came from, and what became of it."),
    "amend": ("cli.amend", "Set the prices of recorded events right, out of a file, or revert that."),
    "alerts": ("cli.alerts", "Balances that crossed a line; withhold: never publish those that wait."),
    "deadletters": ("cli.dead_letters", "Messages that can't be recorded: list, show, overflow, replay, discard, correct, accept."),
    "producers": ("cli.producers", "Producers that number their events: the highest that came, and what is missing."),
    "compare": ("cli.compare", "A producer's journal, line by line: recorded, parked, refused, or missing."),
    "parked": ("cli.parked", "Events whose mandate isn't known yet, or which have no price yet: list, show, release."),
    "prices": ("cli.prices", "The price book: import, diff, accept, list, show, status; aliases, rules, fx, uncharged, mode, shadow."),
    "batches": ("cli.batches", "Committed recording transactions."),
    "rollup": ("cli.rollup", "Statistics: run, rebuild, status."),
    "stats": ("cli.stats", "Usage statistics of a mandate or a user by day, month or year."),
    "statement": ("cli.statement", "A mandate's month: balances, movements, usage; as a page, too."),
    "report": ("cli.report", "Usage, prices, provider costs and the books' condition as one page."),
    "export": ("cli.export", "Transactions and statistics as CSV or Parquet, for other programs."),
    "directory": ("cli.directory", "Which mandates, users and memberships exist: import, sync."),
    "import": ("cli.import_books", "Existing books of a service that billed before: books."),
    "backfill": ("cli.backfill", "What mandates and members lack: settings, accounts."),
    "jobs": ("cli.jobs", "Scheduled jobs: when they were done, by whom, and why not."),
    "verify": ("cli.verify", "Check the invariants of the books."),
    "reconcile": ("cli.reconcile", "Check the invariants as the nightly job does, and keep what is found."),
    "findings": ("cli.findings", "What broke an invariant, from when to when."),
    "zones": ("cli.zones", "Time zones that aren't known, or whose rules have changed: check, accept."),
    "repair": ("cli.repair", "Bring balances and statistics back to what the ledger says."),
    "erase": ("cli.erase", "Erase what the books hold of a person beside the id."),
    "publish": ("cli.publish", "Usage events out of a JSONL or CSV file into the queue."),
    "intake": ("cli.intake", "Messages where no worker reads them: adopt, migrate."),
    "usage": ("cli.usage", "What a provider's usage object says: read."),
    "completion": ("cli.completion", "What lets a shell complete commands and options: bash, zsh, fish."),
    "torture": ("cli.torture", "The product attacked on servers of its own, and its books proven."),
    "demo": ("cli.demo", "Everything at work, on servers of its own: a day of usage, a crash, a statement."),
}
LINES_SHOWN_MAX = 1_000


class LazyCommands(TyperGroup):
    """Shows every command's line of help without importing it."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name=name, help=help_line) for name, (_, help_line) in COMMANDS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command that is asked for, imported now."""
        name, command, rest = super().resolve_command(ctx, args)
        if name in COMMANDS:
            module = import_module(COMMANDS[name][0])
            command = typer.main.get_command(module.app)
            command.name = name
            complete(command, acts=bool({"acting", "ask", "asking", "move"} & vars(module).keys()))
            command.params = [p for p in command.params if p.name not in ("install_completion", "show_completion")]  # the whole program's business
        return name, command, rest


app = typer.Typer(
    cls=LazyCommands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"tollbook {__version__}")
        raise typer.Exit


@app.callback(epilog="Example: tollbook balance acme ada --json")
def tollbook(
    *, show_version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")] = False
) -> None:
    """A usage ledger: events of AI usage become exactly-once debits in PostgreSQL."""


def _print_lines(error: Exception) -> None:
    """Each line that is at fault, before the error that counts them; a program finds them in the error."""
    lines = error.lines if isinstance(error, LinesRefused) else ()
    if errors_as_json():
        return
    for line in lines[:LINES_SHOWN_MAX]:
        refuse(line)
    if len(lines) > LINES_SHOWN_MAX:
        refuse(f"{len(lines) - LINES_SHOWN_MAX} further ones")


def _told(error: Exception) -> int:
    """The exit code of this error, which is told on standard error."""
    kind = kind_of(error)
    _print_lines(error)
    field, value = (error.field, error.value) if isinstance(error, RequestRefused) else ("", None)
    lines = error.lines if isinstance(error, LinesRefused) else ()
    tell_error(kind, str(error), field=field, value=value, lines=lines)
    return code_of(kind)


def _misused(error: typer.TyperException) -> int:
    """The exit code of a command line that can't be understood, which is told on standard error."""
    if errors_as_json():
        named = getattr(getattr(error, "param", None), "opts", None) or [getattr(error, "param_hint", None) or ""]
        field = max(map(str, named), key=len)  # as it is typed
        tell_error("usage", error.format_message(), field=field)
    else:
        error.show()  # type: ignore[attr-defined]  # every error of a command line has it
    return USAGE


def _run(arguments: Sequence[str]) -> int:
    try:
        ended = app(arguments, prog_name="tollbook", standalone_mode=False)
    except typer.TyperException as error:
        return _misused(error)
    except typer.Abort:
        tell_error("interrupted", "nothing was done: not confirmed")
        return FAILED
    except (TollbookError, OSError, UnicodeError) as error:
        return _told(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    return ended if isinstance(ended, int) else DONE


def _log_line(_logger: object, _method: str, told: MutableMapping[str, Any]) -> str:
    """What is logged meanwhile, as an object like every other line for programs."""
    return json.dumps({"log": told}, default=str)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and ends the process.

    Exit codes are those of `cli.output.exits`; the reason of one that isn't 0 is the last line on standard error, under `--json` as an
    object, but for what an answer itself tells (a check that refuses, a violation that was found).
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    act_as(ROOT)
    reset(given)
    logging_before = structlog.get_config()
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))  # what is printed is the answer alone
    if errors_as_json():
        structlog.configure(processors=[*logging_before["processors"][:-1], _log_line])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter of a name gets it escaped, not an error
    try:
        sys.exit(_run(given))
    finally:
        structlog.configure(**logging_before)


if __name__ == "__main__":
    main()
