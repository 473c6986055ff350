"""JSON read exactly, against a strict reader that shares nothing with it."""

import json
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.json_exact import DEPTH_MAX, decode_json
from core.rejection import Reason, Rejection
from tests.events.strict_json import Refused, read

NAMES = st.sampled_from(["a", "b", "ab", "", "\u00e9", '"', "\\", "\x01", "\U0001f600"]) | st.text(max_size=4)
NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)


@st.composite
def json_strings(draw: st.DrawFn) -> str:
    """A JSON string with some of its characters escaped in one of the possible ways."""
    parts = []
    for character in draw(NAMES):
        units = character.encode("utf-16-be", "surrogatepass")
        escaped = "".join(rf"\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
        plain = json.dumps(character, ensure_ascii=False)[1:-1]
        parts.append(escaped if 0xD800 <= ord(character) <= 0xDFFF or draw(st.booleans()) else plain)
    return '"' + "".join(parts) + '"'


def _joined(opening: str, closing: str, parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    blanks = st.sampled_from(["", " ", "\n", "\t \r"])
    return st.builds(lambda blank, items: f"{opening}{blank}{f'{blank},'.join(items)}{blank}{closing}", blanks, st.lists(parts, max_size=4))


JSON_TEXTS = st.recursive(
    st.one_of(
        NUMBERS,
        json_strings(),
        st.sampled_from(["true", "false", "null", "NaN", "Infinity", "-Infinity", "01", "1.", ".5", "1e", "+1", "nul", "tru"]),
    ),
    lambda inner: _joined("[", "]", inner) | _joined("{", "}", st.builds("{}:{}".format, json_strings(), inner)),
    max_leaves=12,
)


def _spelled(value: object) -> object:
    """A form in which two values are equal only if their types, digits and order are."""
    if isinstance(value, dict):
        return [(name, _spelled(item)) for name, item in value.items()]
    if isinstance(value, list):
        return ["list", *map(_spelled, value)]
    return type(value), str(value.as_tuple()) if isinstance(value, Decimal) else value


def _agrees_with_the_strict_reader(body: bytes) -> None:
    try:
        expected = read(body, DEPTH_MAX)
    except Refused:
        with pytest.raises(Rejection) as caught:
            decode_json(body)
        assert caught.value.detail.isascii()
        assert caught.value.detail.isprintable()
        return
    assert _spelled(decode_json(body)) == _spelled(expected)


@given(JSON_TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b'{"\\u0061":1,"a":2}')
@example(b'{"a":{"b":[{"c":1,"c":1}]}}')
@example(b'{"a":"\\"","a":1}')
@example(b'{"a":1,"b":"\\""}')
@example(b'\xef\xbb\xbf{"a":1}')
@example(b'"\\ud83d\\ude00"')
@example(b'["\\ud83d", "\\ude00"]')
@example(b'{"\\ud83d":1}')
@example(b'"\xed\xa0\x80"')
@example(b"\xff\xfe1\x000\x00")
@example(b"[1,]")
@example(b'{"a":1}\x00')
def test_every_text_is_read_as_the_strict_reader_reads_it(body: bytes) -> None:
    """Both readers give the same value, or both refuse: no lost key, no float, no NaN, nothing beyond JSON."""
    _agrees_with_the_strict_reader(body)


@given(JSON_TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")), st.data())
def test_every_damaged_text_is_read_as_the_strict_reader_reads_it(body: bytes, data: st.DataObject) -> None:
    """The same after a few bytes were replaced, inserted or taken away."""
    damaged = bytearray(body)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(damaged)))
        new = data.draw(st.sampled_from([b"", b'"', b"\\", b"{", b"}", b",", b":", b"0", b"-", b"e", b".", b"\x00", b"\xff", b" ", b"a"]))
        damaged[at : at + data.draw(st.integers(0, 1))] = new
    _agrees_with_the_strict_reader(bytes(damaged))


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":1}',
        b'{"a":1,"b":{"c":[{"d":1,"d":2}]}}',
        b'{"\\u0061":1,"a":1}',
        b'{"a":"x","a":"\\u0022"}',
        b'{"a":{},"a":{"b":"c"}}',
        b'{"":0,"":0}',
        b'[[{"\xc3\xa9":1,"\xc3\xa9":2}]]',
    ],
)
def test_a_key_given_twice_is_seen_at_any_depth(body: bytes) -> None:
    """A duplicate key is refused as such, however it is written and wherever it stands."""
    with pytest.raises(Rejection) as caught:
        decode_json(body)
    assert caught.value.reason is Reason.DUPLICATE_KEY
    assert "given twice" in caught.value.detail


def test_a_key_that_is_escaped_is_the_key_itself() -> None:
    """An escape in a key is another spelling of it, not another key."""
    assert decode_json(b'{"\\u0061":1,"b":2}') == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    "number", ["0.1234567890123456789", "999999.123456789", "1e-400", "1e400", "-0.0", "12345678901234567890.5", "1E+2", "0." + "1" * 5000]
)
def test_a_number_with_a_fraction_or_exponent_is_exact(number: str) -> None:
    """Such numbers are decimals digit by digit, on the fast path and on the exact one."""
    for body in (number, f"[{number}]", rf'["\u0061", {number}]'):
        value = decode_json(body.encode())
        last = value[-1] if isinstance(value, list) else value
        assert isinstance(last, Decimal)
        assert str(last.as_tuple()) == str(Decimal(number).as_tuple())


@pytest.mark.parametrize("digits", [1, 18, 19, 20, 39, 400, 3999, 4001, 4300, 4301, 5000, 50_000])
def test_an_integer_of_any_length_is_exact(digits: int) -> None:
    """Integers beyond every machine word and beyond the interpreter's own limit are read exactly."""
    for sign in ("", "-"):
        value = decode_json(f"[{sign}{'7' * digits}]".encode())
        assert isinstance(value, list)
        assert isinstance(value[0], int | Decimal)
        assert Decimal(value[0]) == Decimal(f"{sign}{'7' * digits}")


@pytest.mark.parametrize("body", [b"NaN", b'{"a":NaN}', b"[Infinity]", b"-Infinity", b'{"\\u0061":NaN}', b"nan", b"[-NaN]"])
def test_nan_and_infinity_are_not_json(body: bytes) -> None:
    """The literals that many encoders write for NaN and infinity are refused."""
    with pytest.raises(Rejection) as caught:
        decode_json(body)
    assert caught.value.reason is Reason.MALFORMED_JSON


@pytest.mark.parametrize(("opening", "inner", "closing"), [("[", "", "]"), ('{"a":', "1", "}"), ('[{"\\u0061":', "1", "}]"), ('[{"b":', '"x"', "}]")])
@pytest.mark.parametrize("levels", [33, 34, 900, 1100, 5000, 100_000])
def test_nesting_beyond_32_levels_is_refused(opening: str, inner: str, closing: str, levels: int) -> None:
    """Anything deeper is `too_deep`, up to a hundred thousand levels, balanced or cut short, and nothing crashes."""
    per_unit = 2 if len(closing) == 2 else 1
    units = -(-levels // per_unit)
    for body in (f"{opening * units}{inner}{closing * units}", opening * 100_000):
        with pytest.raises(Rejection) as caught:
            decode_json(body.encode())
        assert caught.value.reason is Reason.TOO_DEEP


def test_32_levels_are_read() -> None:
    """The limit itself is allowed."""
    assert decode_json(b"[" * 32 + b"]" * 32)
    assert decode_json(b'{"a":' * 32 + b"1" + b"}" * 32)


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """Whatever the bytes, the answer is a value or a Rejection."""
    _agrees_with_the_strict_reader(body)


def test_an_exponent_of_twenty_digits_is_no_amount() -> None:
    """A number that no decimal can hold becomes NaN, which no field accepts, rather than an exception."""
    value = decode_json(b"1e99999999999999999999")
    assert isinstance(value, Decimal)
    assert value.is_nan()
