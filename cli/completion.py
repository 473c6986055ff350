"""`tollbook completion`: what lets a shell complete commands and options."""

from enum import StrEnum
from typing import Annotated

import typer
from typer.completion import shell_complete

from core.errors import Misconfigured

app = typer.Typer(rich_markup_mode=None, add_completion=False)
_VARIABLE = "_TOLLBOOK_COMPLETE"


class Shell(StrEnum):
    """The shells whose words can be completed."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@app.command(epilog="Example: tollbook completion bash")
def completion(context: typer.Context, shell: Annotated[Shell, typer.Argument(help="The shell that is to read it.")]) -> None:
    """Print the script that lets a shell complete commands, options and values of closed lists.

    bash: into ~/.local/share/bash-completion/completions/tollbook; zsh: as _tollbook into a folder of its fpath; fish: into
    ~/.config/fish/completions/tollbook.fish. `tollbook --install-completion` does the same for the shell at hand.
    """
    if shell_complete(context.find_root().command, {}, "tollbook", _VARIABLE, f"source_{shell}"):
        raise Misconfigured(f"no completion for {shell}")
