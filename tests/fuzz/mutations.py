"""Bytes that nobody meant to send: valid samples with a few bytes changed, and JSON that a grammar makes odd on purpose."""

from collections.abc import Sequence
from random import Random

from hypothesis import strategies as st

_NESTED = [b"[" * n for n in (31, 33, 200, 20_000)] + [b'{"a":' * n for n in (31, 33, 5_000)]
_PIECES = [
    *(b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"0", b"-", b"e", b".", b" ", b"a", b"\x00", b"\x7f", b"\x1b", b"\n"),
    *(b"\xff", b"\xc3", b"\xe2\x82", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xef\xbb\xbf", b"\xc0\x80", b"\xef\xbf\xbe", b"\xc2\x85"),
    *(b"\\u0000", b"\\ud800", b"\\ud83d\\ude00", b"\\u0022", b"\\uFFFE", b"\\/", b"\\x"),
    *(b"null", b"true", b"false", b"NaN", b"Infinity", b"-Infinity", b"1e400", b"1E-400", b"-0", b"-1", b"0.1", b"1_0", b"01", b"\xef\xbc\x91"),
    *(b"9007199254740992", b"18446744073709551616", b"9" * 300, b"1" + b"0" * 5_000, b"1e99999999999999999999", b"1000000.0000000001"),
    *(b'"NaN"', b'"1_000"', b'" 1"', b'"+1"', b'"1e3"', b'"3.4E-7"', b'""', b'"' + b"x" * 129 + b'"', b"{}", b"[]", b"{"),
    *(b'"__type__":"uuid"', b'"specversion":"1.0",', b'"event_id":"e",', b'"usage":null,', b'"schema_version":3,', b'"user_id":"u",'),
    *(b'{"__type__":"decimal","__value__":"0.5"}', b'{"__type__":"uuid","__value__":{"hex":"1_34567812345678123456781234567_"}}'),
    *_NESTED,
]
_FRACTION = st.integers(0, 10_000)
_CHANGES = st.one_of(
    st.tuples(st.just("flip"), _FRACTION, st.integers(0, 7)),
    st.tuples(st.just("put"), _FRACTION, st.sampled_from(_PIECES)),
    st.tuples(st.just("replace"), _FRACTION, st.sampled_from(_PIECES)),
    st.tuples(st.just("byte"), _FRACTION, st.binary(min_size=1, max_size=3)),
    st.tuples(st.just("delete"), _FRACTION, st.integers(1, 40)),
    st.tuples(st.just("repeat"), _FRACTION, st.integers(1, 60)),
    st.tuples(st.just("cut"), _FRACTION, st.none()),
    st.tuples(st.just("token"), _FRACTION, st.sampled_from(_PIECES)),
    st.tuples(st.just("splice"), _FRACTION, _FRACTION),
)
_MARKS = b',:{}[]"'


def damaged(samples: Sequence[bytes], changes_max: int = 4) -> st.SearchStrategy[bytes]:
    """One of the samples, with none to a few changes: bits flipped, bytes put in, taken out or repeated, tokens replaced, two samples spliced."""
    return st.builds(_changed, st.sampled_from(samples), st.lists(_CHANGES, max_size=changes_max), st.sampled_from(samples))


def damaged_at_random(samples: Sequence[bytes], chance: Random, changes_max: int = 4) -> bytes:
    """As `damaged`, for tests that want many at once."""
    changes: list[tuple[str, int, object]] = []
    for _ in range(chance.randint(1, changes_max)):
        kind = chance.choice(["flip", "put", "replace", "byte", "delete", "repeat", "cut", "token", "token", "token", "splice"])
        what: object = chance.randint(1, 40)
        if kind in ("put", "replace", "token"):
            what = chance.choice(_PIECES)
        elif kind == "flip":
            what = chance.randrange(8)
        elif kind == "byte":
            what = chance.randbytes(2)
        elif kind == "splice":
            what = chance.randrange(10_000)
        changes.append((kind, chance.randrange(10_000), what))
    return _changed(chance.choice(samples), changes, chance.choice(samples))


def _changed(sample: bytes, changes: list[tuple[str, int, object]], other: bytes) -> bytes:
    body = bytearray(sample)
    for kind, fraction, what in changes:
        at = len(body) * fraction // 10_000
        if kind == "flip" and body:
            assert isinstance(what, int)
            body[min(at, len(body) - 1)] ^= 1 << what
        elif kind in ("put", "byte"):
            assert isinstance(what, bytes)
            body[at:at] = what
        elif kind == "replace":
            assert isinstance(what, bytes)
            body[at : at + len(what)] = what
        elif kind == "token":
            assert isinstance(what, bytes)
            start, end = _token(body, at)
            body[start:end] = what
        elif kind == "delete":
            assert isinstance(what, int)
            del body[at : at + what]
        elif kind == "repeat":
            assert isinstance(what, int)
            body[at:at] = body[at : at + what]
        elif kind == "cut":
            del body[at:]
        elif kind == "splice":
            assert isinstance(what, int)
            body[at:] = other[len(other) * what // 10_000 :]
    return bytes(body)


def _token(body: bytearray, at: int) -> tuple[int, int]:
    """Where the value or key begins and ends in which `at` is: between two marks of JSON, its quotation marks included."""
    start = end = at
    while start > 0 and body[start - 1] not in _MARKS:
        start -= 1
    while end < len(body) and body[end] not in _MARKS:
        end += 1
    if start > 0 and end < len(body) and body[start - 1] == body[end] == 0x22:
        return start - 1, end + 1
    return start, end


_BLANKS = st.sampled_from(["", "", "", " ", "\n", "\t\r ", "\x0b", "\u00a0"])
_STRINGS = st.one_of(
    st.sampled_from(['""', '"a"', '"\\u0061"', '"\\ud800"', '"\x01"', "'a'", '"\ufffe"', '"é"', '"e\u0301"', '"\\', '"1"', '"0.10"', '"Z"']),
    st.text(max_size=5).map(lambda text: '"' + text.replace('"', "").replace("\\", "") + '"'),
)
_SCALARS = st.one_of(
    _STRINGS,
    st.from_regex(r"-?[0-9]{1,3}(\.[0-9]{0,3})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.sampled_from(["null", "true", "false", "NaN", "nul", "True", "-", "1e", ".5", "0x10", "1,5", "", "undefined", "9" * 30]),
)


def odd_json(names: Sequence[str], leaves_max: int = 14) -> st.SearchStrategy[bytes]:
    """JSON, or nearly so, by a grammar: blanks, names out of `names` again and again, values of any kind anywhere."""
    keys = st.one_of(st.sampled_from([f'"{name}"' for name in names]), _STRINGS)

    def joined(marks: str, parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.builds(
            lambda blank, comma, items: f"{marks[0]}{blank}{comma.join(items)}{blank}{marks[1]}",
            _BLANKS,
            st.sampled_from([",", ",", ",", ", ", ",,", ""]),
            st.lists(parts, max_size=5),
        )

    texts = st.recursive(
        _SCALARS,
        lambda inner: joined("[]", inner) | joined("{}", st.builds("{}:{}".format, keys, inner)),
        max_leaves=leaves_max,
    )
    return texts.map(lambda text: text.encode("utf-8", "surrogatepass"))
