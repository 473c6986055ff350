"""What is wrong with fields that somebody gave, out of pydantic's errors: the one place where its words become ours."""

from decimal import Decimal
from typing import NamedTuple

from pydantic import ValidationError

from core.errors import RequestRefused
from core.printable import shown

# No control character (C0, DEL, C1), no noncharacter; a lone surrogate never gets as far as a str of Rust.
_NONCHARACTERS = r"\u{FDD0}-\u{FDEF}" + "".join(rf"\u{{{plane:X}FFFE}}\u{{{plane:X}FFFF}}" for plane in range(1, 17)) + r"\u{FFFE}\u{FFFF}"
PLAIN_TEXT = rf"^[^\p{{Cc}}{_NONCHARACTERS}]*$"


class Problem(NamedTuple):
    """One field (with dots where it lies inside another; empty: all that was given) its value, and why it is refused: `kind` is pydantic's."""

    field: str
    value: object
    kind: str
    reason: str


def problems_in(error: ValidationError) -> list[Problem]:
    """Every wrong field, in pydantic's order."""
    return [
        Problem(".".join(map(str, one["loc"])), one["input"], one["type"], _reason(one["type"], one["msg"], one.get("ctx", {})))
        for one in error.errors(include_url=False)
    ]


def _reason(kind: str, message: str, context: dict[str, object]) -> str:
    match kind:
        case "missing":
            return "is missing"
        case "enum" | "literal_error":
            return f"is none of {context['expected']}"
        case "string_pattern_mismatch" if context["pattern"] == PLAIN_TEXT:
            return "has a control character or a noncharacter"
        case "value_error":
            return str(context["error"])
    return message


def refusal(error: ValidationError, unknown: str, *, quoted: bool = False) -> RequestRefused:
    """The error that names every wrong field and its value; `unknown` is said of a field that there is none of, whose name may be `quoted`."""
    (first, told), *others = [_told(problem, unknown, quoted=quoted) for problem in problems_in(error)]
    return RequestRefused("; ".join([told, *(f"{one.field}: {more}" for one, more in others)]), field=first.field, value=first.value)


def _told(problem: Problem, unknown: str, *, quoted: bool) -> tuple[Problem, str]:
    match problem.kind:
        case "missing":
            return problem, problem.reason
        case "extra_forbidden":
            name = shown(problem.field)
            return problem._replace(field=name if quoted else name[1:-1]), unknown
    value = str(problem.value) if isinstance(problem.value, Decimal) else problem.value
    return problem, f"{shown(value)} {problem.reason}"
