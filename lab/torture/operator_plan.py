"""What the operator of a torture run is told: one small JSON file."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

USERS_OF = {"m-user": 4, "m-pool": 3, "m-post": 5, "m-free": 3, "m-priced-computed": 4, "m-priced-shadow": 3, "m-late": 3, "m-zone": 3}


def mandates_of(each: int = 1, late: int = 2) -> dict[str, list[str]]:
    """Users by mandate: so many mandates of each kind, and so many that become known late."""
    counts = {kind: late if kind == "m-late" else each for kind in USERS_OF}
    return {f"{kind}-{n}": [f"u{k}" for k in range(1, USERS_OF[kind] + 1)] for kind, count in counts.items() for n in range(1, count + 1)}


@dataclass(frozen=True, slots=True)
class Plan:
    """What the operator works on, and where it writes.

    Attributes:
        database_url: under the worker's login.
        folder: where its journal, its working files and the list of open holds are.
        seed: all that it draws comes of it.
        mandates: users by mandate; what its name begins with says of what kind a mandate is (`USERS_OF`). Those of `m-late` become known late.
        seconds: how long the run is meant to take: the late mandates become known between its first and its last third.
        pause: seconds between two operations.
        heavy: seconds between two operations that read or rewrite much, at least.
    """

    database_url: str
    folder: str
    seed: int = 1
    mandates: dict[str, list[str]] = field(default_factory=mandates_of)
    seconds: float = 60
    pause: float = 0.02
    heavy: float = 5

    @property
    def journal(self) -> Path:
        """What it asked and was told, line by line."""
        return Path(self.folder) / "operator.jsonl"

    @property
    def open_holds(self) -> Path:
        """A line for each hold that was granted, which any producer may use: `mandate_id`, `user_id`, `hold_key`, `amount`."""
        return Path(self.folder) / "holds-open.jsonl"

    @property
    def stop_file(self) -> Path:
        """Once it is there the operator ends."""
        return Path(self.folder) / "operator.stop"

    @property
    def late(self) -> list[str]:
        """The mandates that nobody knows at first."""
        return [mandate for mandate in self.mandates if mandate.startswith("m-late")]

    def write(self, path: Path) -> None:
        """The file that the process is given."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Plan":
        """What `write` has written."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))
