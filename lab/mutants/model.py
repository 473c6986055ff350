"""What a mutant is: the program with one deliberate fault, and the check that must notice it."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class NotApplicable(Exception):
    """A mutant changes something that isn't there any more: it would be no mutant, and passing its catcher would say nothing."""


@dataclass(frozen=True, slots=True)
class Change:
    """One piece of a file of the program, and what stands there instead while the mutant runs."""

    path: str  # below the checkout: a module, or a file that the program reads
    old: str
    new: str

    def applied(self, text: str) -> str:
        """The file's text with the change.

        Raises:
            NotApplicable: `old` isn't there, or more than once.
        """
        if (found := text.count(self.old)) != 1:
            raise NotApplicable(f"{self.path} has {found} times, not once: {self.old!r}")
        return text.replace(self.old, self.new)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A deliberately broken program.

    Attributes:
        name: by which it is asked for.
        broken: what is broken, in one sentence.
        catcher: the test that must fail, as pytest names it.
        says: what must stand in that test's failure: an invariant, or what the oracle disagrees about.
        changes: what is another text than in the checkout; none of it touches a file.
        ddl: what is done to a database once it is migrated, as its owner.
    """

    name: str
    broken: str
    catcher: str
    says: str
    changes: tuple[Change, ...] = ()
    ddl: tuple[str, ...] = ()
