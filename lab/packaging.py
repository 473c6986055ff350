"""What hatchling runs when the project is built: only a checkout can be installed.

A wheel would put packages called `core`, `tasks`, `worker` and `cli` beside those of other programs, and whichever came last would win.
"""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

REFUSAL = (
    "Tollbook isn't installed as a wheel: its packages (core, tasks, worker, cli, lab) would collide with those of other programs. "
    "Run it from a checkout (`make install`, or `pip install --editable .`) or as the image (`docker build .`). "
    "Producers install the client alone: `pip install ./clients/python`."
)


class EditableOnly(BuildHookInterface[Any]):
    """Lets `pip install --editable` through and refuses everything else."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's interface
        """Called before a wheel is built.

        Raises:
            SystemExit: it isn't an editable one; the message says what to do in its place.
        """
        if version != "editable":
            raise SystemExit(REFUSAL)
