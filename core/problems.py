"""What is wrong with fields that somebody gave, out of pydantic's errors: the one place where its words become ours."""

from decimal import Decimal
from typing import NamedTuple

from pydantic import ValidationError

from core.errors import RequestRefused
from core.printable import shown

# No control character (C0, DEL, C1), no noncharacter; a lone surrogate never gets as far as a str of Rust.
_NONCHARACTERS = r"\u{FDD0}-\u{FDEF}" + "".join(rf"\u{{{plane:X}FFFE}}\u{{{plane:X}FFFF}}" for plane in range(1, 17)) + r"\u{FFFE}\u{FFFF}"
PLAIN_TEXT = rf"^[^\p{{Cc}}{_NONCHARACTERS}]*$"


# By pydantic's kind of a problem; what its words name in braces is in its context.
_REASONS = {
    "missing": "is missing",
    "string_type": "is no text",
    "string_too_short": "has fewer than {min_length} characters",
    "string_too_long": "has more than {max_length} characters",
    "string_pattern_mismatch": "has not the form {pattern}",
    "int_type": "is no whole number",
    "int_parsing": "is no whole number",
    "int_from_float": "is no whole number",
    "bool_type": "is neither true nor false",
    "bool_parsing": "is neither true nor false",
    "greater_than": "is not above {gt}",
    "greater_than_equal": "is below {ge}",
    "less_than": "is not below {lt}",
    "less_than_equal": "is above {le}",
    "list_type": "is no list",
    "tuple_type": "is no list",
    "dict_type": "is no object",
    "model_type": "is no object",
    "too_short": "has fewer than {min_length} items",
    "too_long": "has more than {max_length} items",
}


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
        case "enum" | "literal_error":
            told = f"is none of {context['expected']}"
        case "string_pattern_mismatch" if context["pattern"] == PLAIN_TEXT:
            told = "has a control character or a noncharacter"
        case "string_too_short" if context["min_length"] == 1:
            told = "is empty"
        case "value_error":
            told = str(context["error"])
        case _:
            told = _REASONS[kind].format(**context) if kind in _REASONS else message
    return told


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
