"""What the operator of a torture run asked for and was told, read from the lines of its journal (`lab/torture/operator_journal.py`)."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

Row = Mapping[str, Any]
Wrong = Iterator[str]
Tables = Mapping[str, Sequence[Row]]
NEVER = float("inf")
# What every repetition of what is done must tell again; of a kind that isn't named, all.
SAME: Mapping[str, tuple[str, ...]] = {
    "authorise": ("key", "amount"),
    "authorise much": ("key", "amount"),
    "version": ("version",),
    "revert": (),
    "uncap": ("id",),
    "settings": (),
    "zone": (),
    "cap": ("id",),
    "renew": (),
    "release": (),
    "expire": (),
    "fx": (),
    "backfill": (),
    "replay": (),
    "discard": (),
}
FREE = ("authorise", "authorise much")  # a refusal of these isn't kept: who asks again may be granted it


@dataclass(slots=True)
class Op:
    """One operation: what was asked, and what was told of it."""

    number: int
    kind: str
    asked: Row
    expect: str | None
    at: float
    answers: list[Row] = field(default_factory=list)

    @property
    def told(self) -> str:
        """`done`, `refused`, `failed`, or `maybe` where nobody knows."""
        told = {answer["told"] for answer in self.answers}
        return next((one for one in ("failed", "done", "refused") if one in told), "maybe")

    @property
    def result(self) -> Row:
        """What it came to, once it is done."""
        result: Row = next(answer["result"] for answer in self.answers if answer["told"] == "done")
        return result

    @property
    def until(self) -> float:
        """When it was done at the latest, in seconds since 1970."""
        return next((float(answer["at"]) for answer in self.answers if answer["told"] == "done"), NEVER)

    @property
    def mandate(self) -> str:
        """Of which mandate it is."""
        return str(self.asked["mandate_id"])

    def __str__(self) -> str:
        return f"operation {self.number} ({self.kind})"


class Asked:
    """All operations of a journal."""

    def __init__(self, journal: Iterable[Row]) -> None:
        """Reads the lines; those that begin a life are no operations."""
        ops: dict[int, Op] = {}
        self.lives = 0
        for line in journal:
            if "life" in line:
                self.lives += 1
            elif "kind" in line:
                ops[line["n"]] = Op(line["n"], line["kind"], line["asked"], line["expect"], line["at"])
            else:
                ops[line["n"]].answers.append(line)
        self.ops = [ops[number] for number in sorted(ops)]
        self._by_kind: dict[str, list[Op]] = defaultdict(list)
        for op in self.ops:
            self._by_kind[op.kind].append(op)

    def of(self, *kinds: str) -> list[Op]:
        """Those of these kinds, in the order in which they were asked for."""
        return sorted((op for kind in kinds for op in self._by_kind[kind]), key=lambda op: op.number)

    def by(self, *kinds: str) -> dict[str, Op]:
        """Those of these kinds by the name that the books have of who asked."""
        return {op.asked["by"]: op for op in self.of(*kinds) if "by" in op.asked}

    def done(self, *kinds: str) -> list[Op]:
        """Those of these kinds that are done."""
        return [op for op in self.of(*kinds) if op.told == "done"]

    def exercised(self) -> Counter[str]:
        """How often what came of which kind."""
        counted: Counter[str] = Counter()
        for op in self.ops:
            told = [answer["told"] for answer in op.answers]
            if op.told != "maybe":
                counted[f"{op.kind} {op.told}"] += 1
                counted[f"maybe, then {op.told}"] += "maybe" in told or not op.answers
            else:
                counted["maybe"] += 1
            counted["at once"] += any("at_once" in answer for answer in op.answers)
            counted[f"{op.kind} repeated"] += told.count("done") > 1
        counted["begun again"] = max(0, self.lives - 1)
        return +counted


def answers_agree(asked: Asked) -> Wrong:
    """Nothing failed, what could come to one thing alone came to it, and a repetition was told what was told before."""
    for op in asked.ops:
        told = {answer["told"] for answer in op.answers} - {"maybe"}
        if "failed" in told:
            yield f"{op} failed: {next(answer['reason'] for answer in op.answers if answer['told'] == 'failed')}"
        elif len(told) > 1 and op.kind not in FREE:
            yield f"{op} was told {' and '.join(sorted(told))}"
        elif op.expect is not None and told and told != {op.expect}:
            yield f"{op} was {op.told}, not {op.expect}: {op.answers[-1]}"
        results = [answer["result"] for answer in op.answers if answer["told"] == "done"]
        names = SAME.get(op.kind)
        for result in results[1:]:
            if any(result[name] != results[0][name] for name in (results[0] if names is None else names)):
                yield f"{op} was told {results[0]}, and again {result}"


def money(value: object) -> Decimal | None:
    """An amount, however it is written; None stays."""
    return None if value is None else Decimal(str(value))


def signed(entry: Row) -> Decimal:
    """What an entry adds to a balance."""
    amount: Decimal = entry["amount"]
    return -amount if entry["transaction_type"] == "DEBIT" else amount
