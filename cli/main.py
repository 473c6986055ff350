"""`tollbook`: the commands, each loaded when it is asked for, so that help comes at once."""

import io
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import structlog
import typer
from typer.core import TyperCommand, TyperGroup

from cli.acting import ROOT, act_as
from cli.output.text import printable
from core.errors import LinesRefused, RequestRefused, TollbookError

# A command's name: the module whose `app` it is, and its line in the help. A new command is one line here.
COMMANDS = {
    "services": ("cli.services", "Embedded PostgreSQL and Valkey: up, status, down, env."),
    "db": ("cli.db", "The tables: upgrade, check, cloud-events."),
    "settings": ("cli.settings", "Billing settings of mandates: show, list, history, create, get-or-create, update."),
    "accounts": ("cli.accounts", "Accounts: list, show, open, enable, disable, credit-limit."),
    "balance": ("cli.balance", "The balance that pays for a mandate's or a user's usage, now or at a day's end."),
    "balances": ("cli.balances", "Balances over many: user, mandates, users."),
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
    "deadletters": ("cli.dead_letters", "Messages that can't be recorded: list, show, overflow, replay, discard, accept."),
    "parked": ("cli.parked", "Events whose mandate isn't known yet, or which have no price yet: list, show, release."),
    "prices": ("cli.prices", "The price book: import, diff, accept, list, show, status; aliases, rules, fx, uncharged, mode, shadow."),
    "batches": ("cli.batches", "Committed recording transactions."),
    "rollup": ("cli.rollup", "Statistics: run, rebuild, status."),
    "stats": ("cli.stats", "Usage statistics of a mandate or a user by day, month or year."),
    "statement": ("cli.statement", "A mandate's month: balances, movements, usage; as a page, too."),
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
    "demo": ("cli.demo", "Everything at work, on servers of its own: a day of usage, a crash, a statement."),
}
AS_HELP = "As whom: `administrator:MANDATE[,MANDATE]` sees these mandates, `user:USER` themselves. Default: root, who may everything."
EXIT_FAILURE = 1
LINES_SHOWN_MAX = 1_000
EXIT_INTERRUPTED = 130


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
            if {"acting", "ask", "asking", "move"} & vars(module).keys():  # it asks as an actor
                _let_act_as(command)
            command.params = [p for p in command.params if p.name not in ("install_completion", "show_completion")]  # the whole program's business
        return name, command, rest


def _act_as(value: str | None) -> None:
    if value is not None:
        try:
            act_as(value)
        except RequestRefused as error:
            raise typer.BadParameter(error.reason) from None


_acting = typer.Typer(add_completion=False, rich_markup_mode=None)


@_acting.command()
def _acting_option(
    _: Annotated[str | None, typer.Option("--as", callback=_act_as, expose_value=False, metavar="ACTOR", show_default=False, help=AS_HELP)] = None,
) -> None:
    """Never run: it is where `--as` is made."""


def _let_act_as(command: Any) -> None:
    """Gives the option `--as` to the command, or to each one of a group and of the groups in it."""
    option = typer.main.get_command(_acting).params[0]
    if getattr(command, "invoke_without_command", True):  # a group that does nothing by itself has nothing to be asked
        command.params.append(option)
    for one in getattr(command, "commands", {}).values():
        _let_act_as(one)


app = typer.Typer(cls=LazyCommands, no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"tollbook {version('tollbook')}")
        raise typer.Exit


@app.callback(epilog="Example: tollbook balance acme ada --json")
def tollbook(
    *, show_version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")] = False
) -> None:
    """A usage ledger: events of AI usage become exactly-once debits in PostgreSQL."""


def _print_lines(error: Exception) -> None:
    """Each line that is at fault, before the error that counts them."""
    lines = error.lines if isinstance(error, LinesRefused) else ()
    for line in lines[:LINES_SHOWN_MAX]:
        typer.echo(f"refused: {printable(line)}", err=True)
    if len(lines) > LINES_SHOWN_MAX:
        typer.echo(f"refused: {len(lines) - LINES_SHOWN_MAX} further ones", err=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and ends the process.

    Exit codes: 0 done, 1 failed or violated (the reason is one line on standard error), 2 wrong usage, 3 refused by
    `tollbook check` or `tollbook hold`, 130 interrupted.
    """
    act_as(ROOT)
    logging_before = structlog.get_config()
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))  # what is printed is the answer alone
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter of a name gets it escaped, not an error
    try:
        app(arguments, prog_name="tollbook")
    except (TollbookError, OSError, UnicodeError) as error:
        _print_lines(error)
        typer.echo(f"error: {printable(str(error))}", err=True)
        sys.exit(EXIT_FAILURE)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    finally:
        structlog.configure(**logging_before)


if __name__ == "__main__":
    main()
