"""Which record is complete for which basis, cell by cell; and that it comes back as it went in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from suppression.consents import (
    FORM_OF,
    Record,
    RecordConsents,
    Told,
    check_record,
    decode_record,
    encode_record,
    shortfall,
    shown_record,
)
from suppression.events import Basis, Consent, Covers, EventError
from suppression.forms import FormKind
from tests.unit.suppression.conftest import NOW
from tests.unit.suppression.test_suppression_forms import FORM, put

AT = 1_795_000_000.0
CONSENT = Consent("a@example.jp", AT, "web", "shop")
BY_FORM = Record(form=FORM.sha256.hex())
BOTH = Covers.AD | Covers.MAIL_ORDER
MAIL_ORDER = replace(CONSENT, basis=Basis.MO_REC, covers=BOTH)


def lack(record: Record, consent: Consent = CONSENT, form=None) -> str:
    """The field that is wrong; empty when complete."""
    return (shortfall(consent, record, form) or "").partition(":")[0]


@pytest.mark.parametrize(
    "record",
    [
        Record(evidence="申込書 12"),
        Record(evidence_ref="scan/12.pdf"),
        Record(ip="192.0.2.1"),
        Record(url="https://x/"),
        Record(method="phone", evidence_ref="call 7"),
        Record(method="oral", evidence="店頭、担当 佐藤"),
    ],
)
def test_one_person_with_circumstances_is_complete(record) -> None:
    assert lack(record) == ""
    assert lack(record, MAIL_ORDER) == ""


def test_time_and_method_alone_are_not() -> None:
    assert lack(Record()) == "evidence"
    assert lack(Record(method="web", user_agent="x", checkbox_default="off")) == "evidence"


@pytest.mark.parametrize("method", ["phone", "oral"])
def test_no_form_speaks_for_what_was_spoken(method) -> None:
    assert lack(replace(BY_FORM, method=method), form=replace(FORM, kind=FormKind.PAPER)) == "evidence"
    assert lack(Record(method=method, ip="192.0.2.1", url="https://x/")) == "evidence"


@pytest.mark.parametrize(
    ("method", "kind", "wrong"),
    [
        ("", FormKind.WEB, ""),
        ("web", FormKind.WEB, ""),
        ("mail", FormKind.MAIL, ""),
        ("paper", FormKind.PAPER, ""),
        ("fax", FormKind.PAPER, ""),
        ("web", FormKind.PAPER, "method"),
        ("fax", FormKind.WEB, "method"),
        ("paper", FormKind.MAIL, "method"),
    ],
)
def test_the_standard_text_is_of_the_method(method, kind, wrong) -> None:
    assert lack(replace(BY_FORM, method=method), form=replace(FORM, kind=kind)) == wrong


def test_a_form_counts_for_the_time_when_it_was_shown() -> None:
    form = replace(FORM, shown_from=int(AT), shown_to=int(AT) + 10)
    at = lambda seconds: replace(CONSENT, at=seconds)  # noqa: E731
    assert lack(BY_FORM, at(AT - 1), form) == "at"
    assert lack(BY_FORM, at(AT), form) == ""
    assert lack(BY_FORM, at(AT + 10), form) == ""
    assert lack(BY_FORM, at(AT + 11), form) == "at"
    assert lack(BY_FORM, at(AT + 11), replace(form, kind=FormKind.PAPER)) == "", "paper comes back later"


def test_what_the_form_does_not_say_was_not_consented_to() -> None:
    assert lack(BY_FORM, replace(CONSENT, covers=BOTH), FORM) == "covers"
    assert lack(replace(BY_FORM, evidence="x"), replace(CONSENT, covers=BOTH), FORM) == "covers"


def test_mail_order_by_form_alone_needs_answers_that_compile_themselves() -> None:
    form = replace(FORM, covers=BOTH)
    assert lack(BY_FORM, MAIL_ORDER, form) == "form"
    assert lack(BY_FORM, replace(CONSENT, covers=BOTH), form) == "form"
    assert lack(BY_FORM, MAIL_ORDER, replace(form, auto_compiled=True)) == ""
    assert lack(replace(BY_FORM, ip="192.0.2.1"), MAIL_ORDER, form) == ""


def test_mo_rec_says_mail_order() -> None:
    assert lack(Record(evidence="x"), replace(CONSENT, basis=Basis.MO_REC)) == "covers"


def test_a_form_that_nobody_stored_is_no_record_of_any_basis() -> None:
    assert lack(BY_FORM) == "form"
    assert lack(BY_FORM, replace(CONSENT, basis=Basis.BIZREL)) == "form"


@pytest.mark.parametrize("basis", sorted(set(Basis) - {Basis.OPTIN_REC, Basis.MO_REC}))
def test_other_bases_need_no_record(basis) -> None:
    assert lack(Record(), replace(CONSENT, basis=basis)) == ""


@pytest.mark.parametrize(
    ("record", "field"),
    [
        (Record(method="pigeon"), "method"),
        (Record(form="AB" * 32), "form"),
        (Record(form="ab" * 31), "form"),
        (Record(checkbox_default="maybe"), "checkbox_default"),
        (Record(url="javascript:x"), "url"),
        (Record(privacy_policy_url="x"), "privacy_policy_url"),
        (Record(acquired_url="https://a\nb"), "acquired_url"),
        (Record(ip="192.0.2.256"), "ip"),
        (Record(doi_ip="x"), "doi_ip"),
        (Record(user_agent="x" * 1025), "user_agent"),
        (Record(displayed_sender="a\tb"), "displayed_sender"),
        (Record(evidence_ref="x" * 2049), "evidence_ref"),
        (Record(message_id="x" * 999), "message_id"),
        (Record(third_parties=("x",) * 65), "third_parties"),
        (Record(third_parties=(" ",)), "third_parties"),
        (Record(third_parties=("a\nb",)), "third_parties"),
    ],
)
def test_a_value_that_cannot_be_one_names_its_field(record, field) -> None:
    with pytest.raises(EventError, match=f"^{field}: "):
        check_record(record)


def test_every_value_that_can_be_one_passes() -> None:
    for method in FORM_OF:
        check_record(Record(method=method))
    check_record(Record(ip="2001:db8::1", user_agent="a\nb", third_parties=("株式会社れい",), message_id="<a@b>"))


FULL = Record(
    method="web",
    form="ab" * 32,
    ip="192.0.2.1",
    third_parties=("甲 社", "乙|社"),
    evidence="x\ny",
    doi_clicked_at=1.25,
)


@pytest.mark.parametrize(
    "record", [Record(), Record(evidence="申込書"), Record(evidence='{"record":1,"ip":"x"}'), FULL]
)
def test_a_record_comes_back_as_it_went_in(record) -> None:
    assert decode_record(encode_record(record)) == record
    assert shown_record(record).keys() == {n for n in Record.__slots__ if getattr(record, n)}


def test_free_text_stays_the_text_that_it_was() -> None:
    assert encode_record(Record(evidence="form 12")) == "form 12"
    assert decode_record("reply of a server") == Record(evidence="reply of a server")


def told(suppression, *consents, keep=False) -> RecordConsents:
    identities = suppression.identify([consent.address for consent, _ in consents])
    whole = [Told(i, c, r, identity) for i, ((c, r), identity) in enumerate(zip(consents, identities, strict=True))]
    act = RecordConsents(whole, NOW, keep_incomplete=keep)
    suppression.perform_now(act)
    return act


def reason(suppression, address, category="AD") -> str:
    (decision,) = suppression.decide("shop", "", category, [address])
    return decision.reason or decision.basis


def test_one_bad_record_refuses_itself_alone(opened) -> None:
    suppression = opened()
    put(suppression, FORM)
    good, bad = replace(CONSENT, address="good@example.jp"), replace(CONSENT, address="bad@example.jp")
    act = told(suppression, (bad, Record()), (good, BY_FORM), (bad, replace(BY_FORM, form="0" * 64)))
    assert [index for index, _ in act.refused] == [0, 2]
    assert reason(suppression, "good@example.jp") == "C1_OPTIN"
    assert reason(suppression, "bad@example.jp") == "NO_CONSENT"


def test_an_incomplete_one_may_be_kept_as_what_it_is(opened) -> None:
    suppression = opened()
    card = replace(CONSENT, address="card@example.jp", basis=Basis.CARD)
    act = told(suppression, (CONSENT, Record()), (card, replace(BY_FORM, form="0" * 64)), keep=True)
    assert [index for index, _ in act.demoted] == [0]
    assert [index for index, _ in act.refused] == [1], "no basis rests on a form that is not there"
    assert reason(suppression, "a@example.jp") == "NO_CONSENT_RECORD"
