"""Composing for one recipient: own fields, flags, digests, what is refused as our own bug."""

import dataclasses

import pytest
from mail_samples import ED, NOW, PLAIN_SHOP, RSA, SHOP, TOKEN, facts, finish, received, sign

from engine.mail.compose import Own, date_text, make_message_id
from engine.mail.message import decode_message
from engine.mail.template import compile_message

SPEC = decode_message({"subject": "{{a}}様", "text": "{{a}}様 %cancelurl%\n"})


def test_words_of_a_recipient() -> None:
    assert make_message_id(3 << 48 | 5, "example.jp") == "0003000000000005@example.jp"
    assert date_text(1_700_000_000.9) == "Tue, 14 Nov 2023 22:13:20 +0000"


def test_own_fields() -> None:
    parsed = received(finish(compile_message(SPEC, SHOP).compose(facts({"a": "山田"}))))
    assert parsed["Date"] == "Tue, 14 Nov 2023 22:13:20 +0000"
    assert parsed["Message-ID"] == "<0000000000000007@example.jp>"
    assert parsed["To"] == "taro@example.com"
    assert parsed["List-Unsubscribe"] == f"<{facts({}).cancel_url}>"
    assert parsed["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert parsed["Feedback-ID"] == "::spring:sokutatsu"
    assert str(parsed["Subject"]) == "山田様"


MAILTO_SHOP = dataclasses.replace(SHOP, unsubscribe_mailto="stop+me@example.jp")


@pytest.mark.parametrize("raw", [False, True])
def test_a_refusal_by_mail_stands_behind_the_link_and_is_signed(raw) -> None:
    spec = decode_message({"raw": b"From: a@example.jp\r\n\r\nx\r\n"}) if raw else SPEC
    draft = compile_message(spec, MAILTO_SHOP).compose(facts({"a": "山田"}))
    url = facts({}).cancel_url
    wire = finish(draft)
    assert b"<%s>,\r\n <mailto:stop%%2Bme@example.jp?subject=unsubscribe%%20" % url.encode() in wire
    assert received(wire)["List-Unsubscribe"] == f"<{url}>, <mailto:stop%2Bme@example.jp?subject=unsubscribe%20{TOKEN}>"


def test_a_retry_keeps_everything_but_date_and_signature() -> None:
    compiled = compile_message(SPEC, SHOP)
    first, second = (compiled.compose(facts({"a": "山田"})) for _ in range(2))
    assert first.finish([]) == second.finish([])
    assert first.digest(RSA, NOW) == second.digest(RSA, NOW)
    assert first.digest(RSA, NOW) != second.digest(RSA, NOW + 1)
    assert first.digest(RSA, NOW) != first.digest(ED, NOW)
    after_a_restart = compile_message(SPEC, SHOP).compose(facts({"a": "山田"}))
    assert after_a_restart.finish([]) == first.finish([])


def test_signatures_of_drafts_that_wait_together() -> None:
    compiled = compile_message(SPEC, SHOP)
    drafts = [compiled.compose(facts({"a": str(number)}, number=number)) for number in range(5)]
    signed = [
        [(key, sign(key, draft.digest(key, NOW + number))) for key in (RSA, ED)] for number, draft in enumerate(drafts)
    ]
    for number, (draft, signatures) in enumerate(zip(drafts, signed, strict=True)):
        parsed = received(draft.finish(signatures))
        assert parsed["Message-ID"] == f"<{number:016x}@example.jp>"
        assert len(parsed.get_all("DKIM-Signature", [])) == 2


def test_many_keys_do_not_pile_up() -> None:
    compiled = compile_message(SPEC, SHOP)
    draft = compiled.compose(facts({"a": "x"}))
    keys = [dataclasses.replace(RSA, selector=f"s{number}") for number in range(200)]
    digests = {draft.digest(key, NOW) for key in keys}
    assert len(digests) == 200
    assert len(compiled._signatures) <= 64
    received(finish(compiled.compose(facts({"a": "x"}))))


def test_flags() -> None:
    compiled = compile_message(SPEC, SHOP)
    draft = compiled.compose(facts({"a": "山田"}))
    assert (draft.eightbit, draft.utf8) == (False, False)
    assert finish(draft).isascii()
    draft = compiled.compose(facts({"a": "山田"}, address="太郎@example.com"))
    assert (draft.eightbit, draft.utf8) == (True, True)
    assert str(received(finish(draft))["To"]) == "太郎@example.com"
    draft = compiled.compose(facts({"a": "山田"}, address='"a..b"@docomo.ne.jp'))
    assert received(finish(draft))
    assert b'\r\nTo: "a..b"@docomo.ne.jp\r\n' in finish(draft)


def test_what_accept_must_have_refused() -> None:
    compiled = compile_message(SPEC, SHOP)
    good = facts({"a": "x"})
    for bad in ({"address": "a@example.com\r\nBcc: b@example.com"}, {"cancel_url": "https://x\n"}, {"cancel_url": ""}):
        with pytest.raises(ValueError, match="cannot be"):
            compiled.compose(dataclasses.replace(good, **bad))  # type: ignore[arg-type]
    with pytest.raises(KeyError):
        compiled.compose(facts({}))
    assert received(
        finish(
            compile_message(decode_message({"subject": "s", "text": "t"}), PLAIN_SHOP).compose(
                facts({}, sender=PLAIN_SHOP)
            )
        )
    )


def test_own_names_follow_the_canonical_order() -> None:
    own = Own(date=False, message_id=True, to=False, unsubscribe=True)
    assert own.names == ["Message-ID", "List-Unsubscribe"]
    wire, canonical = own.formats()
    four = ("D", "m", "t", "u")
    assert wire % four == "Message-ID: <m>\r\nList-Unsubscribe: <u>\r\n"
    assert canonical % four == "message-id:<m>\r\nlist-unsubscribe:<u>\r\n"
