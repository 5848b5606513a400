"""Transfer encodings: the choice, and that slots anywhere change neither content nor canonical form."""

import base64
import html
import itertools
import quopri

import pytest

from engine.mail.dkim import relaxed_body
from engine.mail.slots import Slot, Template, cut
from engine.mail.transfer import Places, encode_part, end_in_newline

JAPANESE = "いつもご利用いただき、まことにありがとうございます。\n"
ENGLISH = "Thank you for shopping with us; here is what we have for you this month.\n"


def render(
    template: Template, fields: dict[str, str], *, markup: bool = False, alone: bool = False
) -> tuple[str, bytes]:
    places = Places()
    part = encode_part(template, markup=markup, places=places, alone=alone)
    prepared = [prepare(fields[name]) for name, prepare in places.values] + places.literals
    out = [part.lead]
    part.render(prepared, out)
    return part.encoding, b"".join(out)


def decoded(encoding: str, octets: bytes) -> str:
    if encoding == "base64":
        return base64.b64decode(octets).decode()
    return (quopri.decodestring(octets) if encoding == "quoted-printable" else octets).decode()


def check(template: Template, fields: dict[str, str], *, markup: bool = False, alone: bool = False) -> str:
    encoding, octets = render(template, fields, markup=markup, alone=alone)
    escape = html.escape if markup else str
    expected = "".join(
        part if isinstance(part, str) else escape(fields[part.name]) for part in end_in_newline(template)
    )
    assert decoded(encoding, octets) == expected.replace("\n", "\r\n")
    assert octets.endswith(b"\r\n")
    for line in octets.split(b"\r\n"):
        assert len(line) <= 76
        assert not line.startswith(b".")
        assert b"=_" not in line
    if encoding == "base64" and "" not in fields.values():
        assert b"\r\n\r\n" not in b"\r\n" + octets
    # Behind it, unless it is alone, comes a boundary; an empty line before that is canonical.
    behind = b"" if alone else b"--b--\r\n"
    assert relaxed_body(octets + behind) == octets + behind
    return encoding


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Hello\n\nworld", "7bit"),
        ("", "7bit"),
        ("a  b", "quoted-printable"),
        ("a\tb", "quoted-printable"),
        ("a \nb", "quoted-printable"),
        ("a\n.\nb", "quoted-printable"),
        (".a", "quoted-printable"),
        ("-- \nSignature", "quoted-printable"),
        ("--=_0123", "quoted-printable"),
        ("word " * 40, "quoted-printable"),
        ("x" * 77, "quoted-printable"),
        ("x" * 76, "7bit"),
        (ENGLISH * 9 + "é", "quoted-printable"),
        (JAPANESE, "base64"),
        ("a\n" * 3 + " " * 400, "quoted-printable"),
        ("é" * 9 + "x" * 99, "quoted-printable"),
        ("é" * 11 + "x" * 97, "base64"),
    ],
)
@pytest.mark.parametrize("alone", [False, True])
def test_choice_without_slots(text: str, encoding: str, alone: bool) -> None:
    template = cut(text)
    found, octets = render(template, {}, alone=alone)
    assert found == encoding
    assert decoded(found, octets) == "".join(end_in_newline(template)).replace("\n", "\r\n")  # type: ignore[arg-type]
    if text:
        assert check(template, {}, alone=alone) == encoding


VALUES = ["", "x", "xy", "xyz", "山田太郎", ".", "O'Neil & <Co>", "a\nb", "長" * 90, "x" * 200, "a  b ", "\n"]
SHORT, LONG = "様 ", JAPANESE * 3


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("markup", [False, True])
@pytest.mark.parametrize("alone", [False, True])
def test_base64_with_slots_anywhere(value: str, markup: bool, alone: bool) -> None:
    fields = {"a": value, "b": value[::-1]}
    for texts in itertools.product(
        ("", SHORT, LONG), ("", SHORT, LONG + "x", LONG + "xy"), ("\n", "。", LONG, LONG + "xy")
    ):
        before, between, behind = texts
        template = cut(f"{before}{{{{a}}}}{between}{{{{b}}}}{behind}{JAPANESE}")
        assert check(template, fields, markup=markup, alone=alone) == "base64"


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("markup", [False, True])
def test_quoted_printable_with_slots_anywhere(value: str, markup: bool) -> None:
    fields = {"a": value, "b": value[::-1]}
    for texts in itertools.product(("", "Dear ", ENGLISH), ("", " = ", "\n", ".\n", ENGLISH), ("", ".", "\n", ENGLISH)):
        before, between, behind = texts
        template = cut(f"{ENGLISH}{before}{{{{a}}}}{between}{{{{b}}}}{behind}")
        assert check(template, fields, markup=markup) == "quoted-printable"


@pytest.mark.parametrize("value", VALUES)
def test_a_body_that_may_end_in_an_empty_line_is_base64(value: str) -> None:
    assert check(cut("Hello\n{{a}}"), {"a": value}, alone=True) == "base64"
    assert check(cut("Hello\n{{a}} \n"), {"a": value}, alone=True) == "base64"
    assert check(cut("Hello\n{{a}}, bye\n"), {"a": value}, alone=True) == "quoted-printable"


def test_a_field_in_two_places_is_prepared_once() -> None:
    places = Places()
    template = cut(f"{{{{a}}}}{LONG}{{{{a}}}}{LONG}")
    encode_part(template, markup=False, places=places, alone=False)
    encode_part(template, markup=True, places=places, alone=False)
    assert [name for name, _ in places.values] == ["a", "a"]
    assert len({prepare for _, prepare in places.values}) == 2


def test_end_in_newline() -> None:
    assert end_in_newline(()) == ("\n",)
    assert end_in_newline(("a\n\n\n",)) == ("a\n",)
    assert end_in_newline((Slot("a"),)) == (Slot("a"), "\n")
