"""Tables to settings: every kind of value, every refusal with its place and remedy."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.tables import LARGEST, Bounds, Problems, dotted, line_numbers, parse_listen, read_table, shown


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Plain:
    count: int = 1
    ratio: float = 0.5
    is_on: bool = False
    text: str = ""
    file: Path = Path("x")
    colour: Colour = Colour.RED
    names: tuple[str, ...] = ()
    numbers: frozenset[int] = frozenset()
    maybe: int | None = None
    wait: float = 1.0
    whole_wait: int = 60


@dataclass(frozen=True, slots=True)
class Strict:
    needed: str
    given: int = 0

    def __post_init__(self) -> None:
        if self.needed == "never":
            raise ValueError("never is never right; write another word")


BOUNDS = {
    "ratio": Bounds(0, 1),
    "numbers": Bounds(1, 9),
    "wait": Bounds(0, 3600, seconds=True),
    "whole_wait": Bounds(0, 3600, seconds=True),
}


def read(text: str, kind: type = Plain, **more):
    problems = Problems("f.toml", line_numbers(text))
    found = read_table(kind, tomllib.loads(text).get("t", {}), "t", problems, bounds=BOUNDS, **more)
    assert (found is None) == bool(problems.texts)
    return found if found is not None else problems.texts


def test_an_empty_table_is_the_defaults() -> None:
    assert read("") == Plain()


def test_every_kind_of_value() -> None:
    text = """[t]
count = 7
ratio = 1
is_on = true
text = "猫"
file = "a/b"
colour = "blue"
names = ["a", "b"]
numbers = [1, 2]
maybe = 3
wait = "5m"
whole_wait = "1h"
"""
    blue = Colour.BLUE
    expected = Plain(7, 1.0, True, "猫", Path("a/b"), blue, ("a", "b"), frozenset({1, 2}), 3, 300.0, 3600)
    found = read(text)
    assert found == expected
    assert type(found.ratio) is float
    assert type(found.whole_wait) is int


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("count = 1.0", "1.0: write a whole number without a point"),
        ("count = 1.5", "1.5: write a whole number"),
        ("count = true", "True: write a number"),
        ('count = "1"', "'1': write a number"),
        ("count = -1", f"-1: must be 0 to {LARGEST}"),
        ("count = 9007199254740992", f"9007199254740992: must be 0 to {LARGEST}"),
        ("count = " + "9" * 400, "9" * 77 + "...: must be 0 to"),
        ("ratio = -inf", "-inf: must be 0 to 1"),
        ("ratio = nan", "nan: must be 0 to 1"),
        ("ratio = inf", "inf: must be 0 to 1"),
        ("ratio = 1.1", "1.1: must be 0 to 1"),
        ("is_on = 1", "1: write true or false"),
        ("text = 1", '1: write text in "quotes"'),
        (r'text = "a\u0007b"', r"'a\x07b': control characters are not allowed"),
        (r'text = "a\u0085b"', r"'a\x85b': control characters are not allowed"),
        ('file = ""', "'': is empty; name a file or folder"),
        (r'file = "a\u0000"', r"'a\x00': control characters are not allowed"),
        ('colour = "green"', "'green': write one of red, blue"),
        ("colour = 1", "1: write one of red, blue"),
        ('names = "a"', "'a': write a list, in [brackets]"),
        ("names = [1]", '[1]: write text in "quotes"'),
        ("numbers = [0]", "[0]: must be 1 to 9"),
        ('maybe = "x"', "'x': write a number"),
        ('wait = "soon"', "'soon': write seconds, or a text such as"),
        ("wait = true", 'True: write a number of seconds, or a duration such as "5m"'),
        ('wait = "2h"', "'2h': must be 0 to 3600"),
        ('whole_wait = "1.5s"', "'1.5s': write a whole number of seconds"),
        ("cuont = 1", "unknown key; did you mean count?"),
        ("zzzzzzzz = 1", "unknown key; remove it"),
    ],
)
def test_a_wrong_value_is_told_with_its_line_and_remedy(line, error) -> None:
    (found,) = read(f"# first\n[t]\n\n{line}\n")
    key = line.partition(" ")[0]
    assert found.startswith(f"f.toml:4: t.{key}: {error}")


def test_all_errors_at_once() -> None:
    assert len(read('[t]\ncount = "x"\nratio = 2\nunknown = 1\nis_on = 0\n')) == 4


def test_what_is_no_table_is_no_table() -> None:
    assert read("t = 1") == ["f.toml:1: t: 1 is not a table; write [t]"]


def test_a_key_without_default_must_be_there() -> None:
    assert read("[t]\n", Strict) == ["f.toml:1: t: needed is missing; add it"]


def test_what_the_program_sets_the_file_may_not() -> None:
    assert read('[t]\nneeded = "a"\n', Strict, given={"given": 5}) == Strict("a", 5)
    assert read('[t]\nneeded = "a"\ngiven = 1\n', Strict, given={"given": 5}) == [
        "f.toml:3: t.given: unknown key; remove it"
    ]


def test_a_class_may_refuse_a_combination() -> None:
    assert read('[t]\nneeded = "never"\n', Strict) == ["f.toml:1: t: never is never right; write another word"]


def test_lines_of_tables_keys_and_lists_of_tables() -> None:
    text = """top = 1
[a."b.c"]
key = 1
'quoted key' = 2
x.y = 3
[[a.list]]
k = 1
[[a.list]]
k = 2
only = 1
[ spaced . name ]  # comment
"""
    found = line_numbers(text)
    assert {name: found[name] for name in ("top", "a.b.c", "a.b.c.key", "a.b.c.quoted key", "a.b.c.x.y")} == {
        "top": 1,
        "a.b.c": 2,
        "a.b.c.key": 3,
        "a.b.c.quoted key": 4,
        "a.b.c.x.y": 5,
    }
    assert (found["a.list"], found["a.list[0].k"], found["a.list[1]"], found["a.list[1].k"]) == (6, 7, 8, 9)
    assert (found["a.list.k"], found["a.list.only"], found["spaced.name"]) == (7, 10, 11)


def test_an_error_finds_the_nearest_line() -> None:
    problems = Problems("f", {"a": 1, "a.b": 2, "shaping.site.mx:25.k": 9})
    for where in ("a.b", "a.b.c.d", "a.x", "z", "shaping.site.'mx:25'.k"):
        problems.add(where, "wrong")
    problems.extend(["a.b: 'x: y': wrong"])
    assert problems.texts == [
        "f:2: a.b: wrong",
        "f:2: a.b.c.d: wrong",
        "f:1: a.x: wrong",
        "f: z: wrong",
        "f:9: shaping.site.'mx:25'.k: wrong",
        "f:2: a.b: 'x: y': wrong",
    ]


def test_values_and_names_are_shown_short_and_harmless() -> None:
    assert shown("\x1b[31m猫") == "'\\x1b[31m\\u732b'"
    assert len(shown("x" * 1000)) == 80
    assert dotted("a", "b-c.d") == "a.b-c.d"
    assert dotted("a", "b\x1b") == "a.'b\\x1b'"
    assert len(dotted("a", "b" * 1000)) == 82


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:9180", ("127.0.0.1", 9180)),
        ("[::1]:25", ("::1", 25)),
        ("localhost:0", ("localhost", 0)),
        ("0.0.0.0:65535", ("0.0.0.0", 65535)),
    ],
)
def test_listen(text, expected) -> None:
    assert parse_listen(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "9180",
        ":9180",
        "host",
        "host:",
        "host:x",
        "host:65536",
        "host:-1",
        "host:٣",
        "::1:25",
        "[x]:1",
        "a b:1",
        "[]:1",
        "[::1:2",
        "host:000001",
    ],
)
def test_a_wrong_listen_is_refused(text) -> None:
    with pytest.raises(ValueError, match="write host:port"):
        parse_listen(text)


TOML_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from([*Plain.__slots__, "other"]), TOML_VALUES, max_size=5) | TOML_VALUES)
def test_no_table_breaks_the_reader(table) -> None:
    """Settings or errors; each error one printable line."""
    problems = Problems("f", {})
    found = read_table(Plain, table, "t", problems, bounds=BOUNDS)
    assert (found is None) == bool(problems.texts)
    assert all(text.isprintable() for text in problems.texts)
