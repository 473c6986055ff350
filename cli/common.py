"""Options and habits that every command has: `--as`, `-o`, `--wide`, numbers below 0 as arguments. Loads nothing, so that the help comes at once."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from cli.acting import act_as
from cli.output.format import Format, choose, narrow, show_every_column
from core.errors import RequestRefused

AS_HELP = "As whom: `administrator:MANDATE[,MANDATE]` sees these mandates, `user:USER` themselves. Default: root, who may everything."
FORMAT_HELP = "How to show it: table for people, json whole, csv a line per item. Default: table, without lines where it isn't a terminal."
WIDE_HELP = "Every column, however narrow the terminal is; nothing folds."
_SHAPES = {"limit", "low", "as_json", "as_csv", "_as", "_format", "_wide", "by", "per_mandate", "removed", "resolved"}  # they leave nothing out
_NEGATIVE = re.compile(r"-\.?[0-9]")


def _act_as(value: str | None) -> None:
    if value is not None:
        try:
            act_as(value)
        except RequestRefused as error:
            raise typer.BadParameter(error.reason) from None


def _choose(value: Format | None) -> None:
    if value is not None:
        try:
            choose(value)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None


def _widen(asked: bool) -> None:
    if asked:
        show_every_column()


_options = typer.Typer(add_completion=False, rich_markup_mode=None)


@_options.command()
def _shared(
    _as: Annotated[str | None, typer.Option("--as", callback=_act_as, expose_value=False, metavar="ACTOR", show_default=False, help=AS_HELP)] = None,
    _format: Annotated[
        Format | None,
        typer.Option(
            "-o",
            "--output-format",
            callback=_choose,
            expose_value=False,
            is_eager=True,
            metavar="|".join(Format),
            show_default=False,
            help=FORMAT_HELP,
        ),
    ] = None,
    _wide: Annotated[bool, typer.Option("--wide", callback=_widen, expose_value=False, help=WIDE_HELP)] = False,
) -> None:
    """Never run: it is where the options are made."""


def complete(command: Any, *, acts: bool) -> None:
    """Gives the command, or each one of a group and of the groups in it, the options that every command of its kind has.

    `--as` has what asks as an actor (`acts`); `-o` and `--wide` what shows something, which is what has `--json`.
    """
    as_, format_, wide = typer.main.get_command(_options).params[:3]
    if getattr(command, "invoke_without_command", True):  # a group that does nothing by itself has nothing to be asked
        if acts:
            command.params.append(as_)
        if any(param.name == "as_json" for param in command.params):
            command.params += [format_, wide]
    if hasattr(command, "commands"):
        for one in command.commands.values():
            complete(one, acts=acts)
    else:
        _take_negative_numbers(command)
    _remember_what_narrows(command)


def _remember_what_narrows(command: Any) -> None:
    """Lets an empty list tell what it was asked for."""
    invoke = command.invoke

    def invoked(context: Any) -> Any:
        typed = [param for param in command.params if getattr(context.get_parameter_source(param.name), "name", "") == "COMMANDLINE"]
        narrow([max(param.opts, key=len) for param in typed if param.param_type_name == "option" and param.name not in _SHAPES])
        return invoke(context)

    command.invoke = invoked


def _take_negative_numbers(command: Any) -> None:
    """Lets `-12.50` be an argument, not options called 1, 2, ., 5 and 0: no option begins with a digit."""
    make_parser = command.make_parser

    def made(context: Any) -> Any:
        parser = make_parser(context)
        process = parser._process_opts  # noqa: SLF001 - typer gives no other hold on it; a test tells when it changes
        parser._process_opts = lambda text, state: state.largs.append(text) if _NEGATIVE.match(text) else process(text, state)  # noqa: SLF001
        return parser

    command.make_parser = made
