"""The usage objects below `objects`: one file each, with what a person counted off it by hand."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from core.dialects.model import Call, UsageDialect

OBJECTS = Path(__file__).parent / "objects"


class Sample(NamedTuple):
    """A usage object as it came, and what is to be read off it."""

    dialect: UsageDialect
    name: str
    content: dict[str, Any]

    @property
    def usage(self) -> dict[str, Any]:
        """The object."""
        usage: dict[str, Any] = self.content["usage"]
        return usage

    @property
    def call(self) -> Call:
        """What is known of the call."""
        return Call(self.content["provider"], self.content["model"])


def samples() -> Iterator[Sample]:
    """Every object, numbers with a fraction as Decimal."""
    for path in sorted(OBJECTS.glob("*/*.json")):
        content = json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
        yield Sample(UsageDialect(path.parent.name), path.stem, content)


every_sample = pytest.mark.parametrize("sample", [pytest.param(one, id=f"{one.dialect}/{one.name}") for one in samples()])
