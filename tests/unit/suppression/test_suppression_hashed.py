from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

import pytest

from suppression import Consent
from suppression.consents import Record, RecordConsents, Told
from suppression.hashed import MOST_KEYS, HashedOptOut, MatchHashed, RecordHashed, digests, fingerprint, key_fault
from tests.unit.suppression.conftest import NOW

CONSENT = Consent("Taro@example.jp", NOW - 100, "web", "shop", evidence="form 1")


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def put(suppression, *texts: str, at=NOW - 50, sender="shop", topic="") -> None:
    act = RecordHashed([HashedOptOut(digest(text), at, "list", sender, topic) for text in texts], NOW)
    suppression.perform_now(act)
    assert act.stored == len(texts)


def match(suppression, after=0) -> int:
    act, found = MatchHashed(after, NOW), 0
    while act.after is not None:
        suppression.perform_now(act)
        found += act.matched
    return found


def consent(suppression, *consents: Consent) -> None:
    whole = [
        Told(i, c, Record(evidence="form 1"), suppression.identify([c.address])[0]) for i, c in enumerate(consents)
    ]
    suppression.perform_now(RecordConsents(whole, NOW))


def reason(suppression, topic="", sender="shop", address="taro@example.jp") -> str:
    (decision,) = suppression.decide(sender, topic, "AD", [address])
    return decision.reason or decision.basis


@pytest.mark.parametrize("spelling", ["taro@example.jp", "Taro@example.jp"])
def test_a_hash_on_file_refuses_an_older_consent_that_comes_later(opened, spelling) -> None:
    suppression = opened()
    put(suppression, spelling)
    consent(suppression, CONSENT)
    assert reason(suppression) == "OPTOUT_ALL"


def test_a_hash_refuses_a_consent_that_was_there(opened) -> None:
    suppression = opened()
    consent(suppression, CONSENT, replace(CONSENT, address="jiro@example.jp"))
    put(suppression, "taro@example.jp")
    assert reason(suppression) == "C1_OPTIN"
    assert match(suppression) == 1
    assert reason(suppression) == "OPTOUT_ALL"
    assert reason(suppression, address="jiro@example.jp") == "C1_OPTIN"
    assert match(suppression) == 0, "once"


def test_a_later_consent_counts_again(opened) -> None:
    suppression = opened()
    put(suppression, "taro@example.jp")
    consent(suppression, replace(CONSENT, at=NOW - 10))
    assert reason(suppression) == "C1_OPTIN"


def test_scopes(opened) -> None:
    suppression = opened()
    put(suppression, "taro@example.jp", topic="news")
    put(suppression, "all@example.jp", sender="")
    consent(suppression, CONSENT, replace(CONSENT, sender="other"))
    consent(suppression, replace(CONSENT, address="all@example.jp"))
    assert (reason(suppression, "news"), reason(suppression)) == ("OPTOUT_TOPIC", "C1_OPTIN")
    assert reason(suppression, "news", "other") == "C1_OPTIN"
    assert reason(suppression, address="all@example.jp") == "OPTOUT_ALL"


def test_the_newest_time_of_a_hash_counts(opened) -> None:
    suppression = opened()
    put(suppression, "taro@example.jp", at=NOW - 50)
    put(suppression, "taro@example.jp", at=NOW - 200)
    consent(suppression, CONSENT)
    assert reason(suppression) == "OPTOUT_ALL"


def test_a_long_ledger_is_compared_in_stretches(opened, monkeypatch) -> None:
    monkeypatch.setattr(MatchHashed, "ROWS", 2)
    suppression = opened()
    consent(suppression, *(replace(CONSENT, address=f"u{n}@example.jp") for n in range(5)))
    put(suppression, *(f"u{n}@example.jp" for n in range(5)))
    assert match(suppression) == 5


def test_the_spellings_that_a_list_may_have_hashed() -> None:
    assert digests(" A.B+x@Gmail.com") >= {
        digest("A.B+x@Gmail.com"),
        digest("a.b+x@gmail.com"),
        digest("ab@gmail.com"),
    }
    assert digests("nobody") == {digest("nobody")}


KEY = b"k" * 16


def keyed(suppression, key: bytes, *texts: str) -> RecordHashed:
    found = [HashedOptOut(hmac.digest(key, text.encode(), "sha256"), NOW - 50, "list", "shop") for text in texts]
    act = RecordHashed(found, NOW, key)
    suppression.perform_now(act)
    return act


@pytest.mark.parametrize("spelling", ["taro@example.jp", "Taro@example.jp"])
def test_an_hmac_refuses_older_consents_before_and_after_it_came(opened, spelling) -> None:
    suppression = opened()
    consent(suppression, CONSENT)
    assert keyed(suppression, KEY, spelling, "jiro@example.jp").stored == 2
    assert match(suppression) == 1
    consent(suppression, replace(CONSENT, address="jiro@example.jp"))
    assert reason(suppression) == reason(suppression, address="jiro@example.jp") == "OPTOUT_ALL"
    suppression.close()
    again = opened()
    keyed(again, b"l" * 16, "other@example.jp")
    consent(again, replace(CONSENT, address="other@example.jp"))
    assert reason(again, address="other@example.jp") == "OPTOUT_ALL", "several keys at a time"


def test_keys_are_bounded_in_size_and_number(opened) -> None:
    assert key_fault(KEY) is None
    assert "15 octets, a key has 16 to 4096" in str(key_fault(b"k" * 15))
    assert key_fault(b"k" * 4097)
    suppression = opened()
    for number in range(MOST_KEYS):
        assert keyed(suppression, bytes([number]) * 16, "taro@example.jp").fault == ""
    full = keyed(suppression, KEY, "taro@example.jp")
    assert (full.stored, full.fault[:30]) == (0, "hmac_key: lists under 16 other")
    assert keyed(suppression, bytes(16), "jiro@example.jp").stored == 1, "known ones still go in"


def test_a_key_is_told_from_another_without_being_shown() -> None:
    assert fingerprint(KEY) != fingerprint(b"l" * 16)
    assert KEY.hex() not in fingerprint(KEY)
    assert digests("a@x.jp", [KEY]) == digests("a@x.jp") | {hmac.digest(KEY, b"a@x.jp", "sha256")}
