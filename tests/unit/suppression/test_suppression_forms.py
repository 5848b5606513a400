from __future__ import annotations

import hashlib
from dataclasses import replace

import apsw
import pytest

from suppression.events import Covers
from suppression.forms import MAX_CONTENT, Form, FormError, FormKind, PutForm, RetireForm, check_form
from suppression.view import LedgerView
from tests.unit.suppression.conftest import NOW

FORM = Form(
    "shop",
    FormKind.WEB,
    "<p>広告宣伝メールを受け取ります".encode(),
    "株式会社れい",
    "広告宣伝メールを受け取ります",
    1_790_000_000,
    acquired_url="https://shop.example/mag",
)


def put(suppression, form, now=NOW) -> str | None:
    act = PutForm(form, now)
    suppression.perform_now(act)
    return act.fault


def retire(suppression, at, sha256=FORM.sha256, sender="shop") -> str | None:
    act = RetireForm(sender, sha256, at, NOW)
    suppression.perform_now(act)
    return act.fault


def stored(settings) -> list[Form]:
    with LedgerView(settings.folder, settings.secret_file) as view:
        return [whole for sha256, form in view.forms() for whole in view.form(sha256, form.sender)]


def test_a_form_is_named_by_the_bytes_that_were_shown(opened, settings) -> None:
    assert put(opened(), FORM) is None
    assert FORM.sha256 == hashlib.sha256(FORM.content).digest()
    assert stored(settings) == [FORM]


def test_the_same_again_is_the_same_and_anything_else_is_refused(opened, settings) -> None:
    suppression = opened()
    assert put(suppression, FORM) is None
    assert put(suppression, FORM) is None
    fault = put(suppression, replace(FORM, displayed_sender="れい商店"))
    assert fault is not None
    assert fault.startswith("displayed_sender: this content was stored with ")
    fault = put(suppression, replace(FORM, covers=Covers.AD | Covers.MAIL_ORDER))
    assert fault is not None
    assert fault.startswith("covers: ")
    assert put(suppression, replace(FORM, sender="other")) is None
    assert stored(settings) == [FORM, replace(FORM, sender="other")]


def test_a_form_is_retired_once(opened, settings) -> None:
    suppression = opened()
    assert "is not stored" in str(retire(suppression, 1_790_000_001))
    put(suppression, FORM)
    assert "is not between shown_from" in str(retire(suppression, FORM.shown_from - 1))
    assert "is not between shown_from" in str(retire(suppression, int(NOW) + 301))
    assert retire(suppression, 1_795_000_000) is None
    assert retire(suppression, 1_795_000_000) is None
    assert "was retired at 1795000000 already" in str(retire(suppression, 1_795_000_001))
    assert put(suppression, FORM) is None, "a repeat of the first put is no second form"
    assert stored(settings) == [replace(FORM, shown_to=1_795_000_000)]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE form SET content = x'00'",
        "UPDATE form SET covers = 3",
        "UPDATE form SET shown_to = 9",
        "DELETE FROM form",
    ],
)
def test_the_database_itself_keeps_a_form_as_it_was(opened, settings, statement) -> None:
    suppression = opened()
    put(suppression, replace(FORM, shown_to=1_795_000_000))
    suppression.close()
    database = apsw.Connection(str(settings.folder / "ledger.sqlite"))
    with pytest.raises(apsw.ConstraintError):
        database.execute(statement)
    database.close()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"content": b""}, "content"),
        ({"content": bytes(MAX_CONTENT + 1)}, "content"),
        ({"content": b"PK\x03\x04 a document"}, "content"),
        ({"displayed_sender": " "}, "displayed_sender"),
        ({"displayed_sender": "a\nb"}, "displayed_sender"),
        ({"language": "x" * 36}, "language"),
        ({"statement": "  "}, "statement"),
        ({"privacy_policy_url": "ftp://x"}, "privacy_policy_url"),
        ({"acquired_url": "https://x/" + "y" * 2048}, "acquired_url"),
        ({"acquired_url": ""}, "acquired_url"),
        ({"covers": Covers(0)}, "covers"),
        ({"shown_from": int(NOW) + 301}, "shown_from"),
        ({"shown_to": 1_789_999_999}, "shown_to"),
    ],
)
def test_what_is_no_form_names_its_field(change, field) -> None:
    with pytest.raises(FormError, match=f"^{field}: "):
        check_form(replace(FORM, **change), NOW)


def test_what_is_a_form_passes() -> None:
    check_form(FORM, NOW)
    check_form(replace(FORM, kind=FormKind.PAPER, acquired_url="", shown_to=int(NOW)), NOW)
