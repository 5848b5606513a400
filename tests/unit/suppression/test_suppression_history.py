"""What the ledger holds of one address, read while the writer has it open."""

from __future__ import annotations

from datetime import date

from suppression import AddressState, Basis, Complaint, Consent, Covers, HardBounce, OptOut, Scope, Withdrawal


def keys(suppression, address):
    identity = suppression.identify([address])[0]
    return int.from_bytes(identity[:8], "little"), int.from_bytes(identity[8:], "little")


def events(suppression, address):
    return suppression.history.events(*keys(suppression, address))


def test_every_spelling_and_kind_the_latest_first(opened) -> None:
    suppression = opened()
    both, until = Covers.AD | Covers.MAIL_ORDER, date(2030, 1, 31)
    suppression.apply_now(
        [
            Consent("a.b@gmail.com", 1.0, "web", "acme", Basis.BIZREL, both, ("news",), "form 7", until),
            OptOut("ab+x@gmail.com", 2.5, "one-click", Scope.PERIOD, "acme", until=until),
            Complaint("a.b@gmail.com", 3.0, "arf"),
            Withdrawal("a.b@gmail.com", 4.0, "manual", "acme", "news"),
            HardBounce("a.b@gmail.com", 5.0, "smtp", AddressState.NULL_MX, "550 \x1b"),
            OptOut("other@x.jp", 6.0, "web", Scope.GLOBAL),
        ]
    )
    found = events(suppression, "A.B@gmail.com")
    assert [one.what for one in found] == ["ADDRESS", "WITHDRAWAL", "COMPLAINT", "OPT_OUT", "CONSENT"]
    bounce, withdrawal, complaint, refusal, consent = found
    assert (bounce.state, bounce.evidence, bounce.source, bounce.sender) == ("NULL_MX", "550 \x1b", "smtp", "")
    assert (withdrawal.sender, withdrawal.topic) == ("acme", "news")
    assert (complaint.sender, complaint.until) == ("", None)
    assert (refusal.until, refusal.at, refusal.same_spelling, refusal.address) == (
        until, 2_500_000, False, "ab+x@gmail.com",
    )  # fmt: skip
    assert (consent.basis, consent.covers, consent.until, consent.same_spelling) == (
        "BIZREL", "AD,MAIL_ORDER", until, True,
    )  # fmt: skip
    assert events(suppression, "nobody@x.jp") == []


def test_it_reads_beside_the_writer_and_after_it(opened) -> None:
    suppression = opened()
    for number in range(5):
        suppression.apply_now([OptOut("a@x.jp", float(number), "web", Scope.GLOBAL)])
        assert len(events(suppression, "a@x.jp")) == number + 1
    assert suppression.history.orders() == []
    suppression.close()
    assert len(events(suppression, "a@x.jp")) == 5


def test_the_answer_is_bounded(opened, monkeypatch) -> None:
    monkeypatch.setattr("suppression.history.MOST", 2)
    suppression = opened()
    suppression.apply_now([OptOut("a@x.jp", float(number), "web", Scope.GLOBAL) for number in range(5)])
    assert [one.at for one in events(suppression, "a@x.jp")] == [4_000_000, 3_000_000]
