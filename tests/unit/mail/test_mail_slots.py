"""Merge fields: cutting templates, checking recipients."""

import re

import pytest

from engine.mail.slots import (
    CANCEL_URL,
    MAX_HEADER_VALUE,
    MAX_SLOTS,
    MAX_VALUE,
    NO_FIELDS,
    Slot,
    TemplateError,
    check_fields,
    cut,
    field_use,
)


def test_cut() -> None:
    assert cut("") == ()
    assert cut("no slot }} here { }") == ("no slot }} here { }",)
    assert cut("{{a}}{{ b.c-d_1 }}") == (Slot("a"), Slot("b.c-d_1"))
    assert cut("{{氏名}} 様 %cancelurl%.") == (Slot("氏名"), " 様 ", Slot(CANCEL_URL), ".")


@pytest.mark.parametrize(
    "text", ["{{", "a {{na me}} b", "{{}}", "{{a}", "{{{a}}}", "x" * 9 + "{{a\n", "{{" + "a" * 65 + "}}"]
)
def test_a_stray_opening_is_refused(text: str) -> None:
    with pytest.raises(TemplateError, match="is not a merge field"):
        cut(text)


def test_field_use() -> None:
    use = field_use([cut("{{a}}")], [cut("{{b}} %cancelurl%"), cut("{{a}}")])
    assert use.names == {"a", "b"}
    assert use.in_headers == {"a"}
    with pytest.raises(TemplateError, match="only"):
        field_use([cut("%cancelurl%")], [])
    with pytest.raises(TemplateError, match=f"more than {MAX_SLOTS}"):
        field_use([], [cut("{{a}}" * (MAX_SLOTS + 1))])


USE = field_use([cut("{{name}}")], [cut("{{body}}")])


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"name": "山田\u3000太郎", "body": "1行\r\n2行\t\n"}, None),
        ({"name": "n" * MAX_HEADER_VALUE, "body": "b" * MAX_VALUE}, None),
        ({"name": "x"}, "'body' is missing"),
        ({"name": "x", "body": "y", "nmae": "z"}, "'nmae' is unknown"),
        ({"name": "a\r\nBcc: x@example.com", "body": ""}, "'name' has '.r' in 'a"),
        ({"name": "a\0", "body": ""}, "'name' has"),
        ({"name": "a\x85b", "body": ""}, "'name' has"),
        ({"name": "a\u2028b", "body": ""}, "'name' has"),
        ({"name": "a\ud800b", "body": ""}, "'name' has"),
        ({"name": "", "body": "\0"}, "'body' has"),
        ({"name": "", "body": "\x1b[0m"}, "'body' has"),
        ({"name": "", "body": "\udfff"}, "'body' has"),
        ({"name": "n" * (MAX_HEADER_VALUE + 1), "body": ""}, "'name' has 301 characters"),
        ({"name": "", "body": "b" * (MAX_VALUE + 1)}, "'body' has 8193 characters"),
    ],
)
def test_check_fields(fields: dict[str, str], error: str | None) -> None:
    found = check_fields(USE, fields)
    if error is None:
        assert found is None
    else:
        assert found is not None
        assert re.search(error, found), found


def test_a_message_without_fields_takes_none() -> None:
    assert check_fields(NO_FIELDS, {}) is None
    assert "the message uses none" in str(check_fields(NO_FIELDS, {"a": "b"}))
