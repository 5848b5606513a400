from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import date

import apsw
import pytest

from suppression import (
    Basis,
    Category,
    Complaint,
    Consent,
    Covers,
    Decision,
    EventError,
    HardBounce,
    LedgerFailed,
    OptOut,
    OrderKind,
    OrderReceived,
    OrderReleased,
    Restored,
    Scope,
    SenderState,
    Suppression,
    Verdict,
    Withdrawal,
)
from suppression.day import begins, number_of
from suppression.face import FEW

NOW = 1_800_000_000.0
SEND = Decision(Verdict.SEND, "", "C1_OPTIN")
FREE = Decision(Verdict.SEND, "", "NOT_SPECIFIED")
BATCH = FEW + 1
"""So often repeated, it is asked about in one go and not one by one."""


def block(reason) -> Decision:
    return Decision(Verdict.BLOCK, reason, "")


def ask(suppression, *addresses, sender="acme", topic="", category="AD") -> list[Decision]:
    made = suppression.decide(sender, topic, category, addresses)
    alone = [suppression.decide_one(sender, topic, category, one) for one in suppression.identify(addresses)]
    assert made == alone
    assert suppression.decide(sender, topic, category, addresses * BATCH) == made * BATCH
    return made


def yes(address, at=1.0, **more) -> Consent:
    return Consent(address, at, "web", "acme", **more)


def no(address, at=2.0) -> OptOut:
    return OptOut(address, at, "web", Scope.SENDER, "acme")


def test_nobody_consented_yet(opened) -> None:
    suppression = opened()
    assert suppression.epoch == 0
    assert ask(suppression, "a@x.jp", "nonsense") == [block("NO_CONSENT"), block("ADDR_SYNTAX")]
    assert ask(suppression, "a@x.jp", category="TX") == [FREE]
    assert ask(suppression) == []


def test_consent_then_refusal_then_consent_again(opened) -> None:
    suppression = opened()
    epochs = [suppression.epoch]
    for event, decision in [
        (yes("a@x.jp"), SEND),
        (no("A@X.jp"), block("OPTOUT_ALL")),
        (yes("a@x.jp", 2.0), block("OPTOUT_ALL")),
        (yes("a@x.jp", 3.0), SEND),
        (Complaint("a@x.jp", 4.0, "arf", "acme"), block("COMPLAINT")),
        (yes("a@x.jp", 5.0), SEND),
        (Withdrawal("a@x.jp", 6.0, "web", "acme"), block("COMPLAINT")),
        (HardBounce("a@x.jp", 7.0, "smtp"), block("ADDR_UNKNOWN")),
        (Restored("a@x.jp", 8.0, "manual"), block("COMPLAINT")),
        (yes("a@x.jp", 9.0), SEND),
    ]:
        epochs.append(suppression.apply_now([event]))
        assert suppression.epoch == epochs[-1]
        assert ask(suppression, "a@x.jp") == [decision]
    assert epochs == sorted(set(epochs))


def test_a_refusal_is_wide_a_consent_is_narrow(opened) -> None:
    suppression = opened()
    suppression.apply_now([yes("f.oo+shop@gmail.com"), yes("foo@gmail.com")])
    assert ask(suppression, "f.oo+shop@gmail.com", "foo@gmail.com", "fo.o@gmail.com") == [
        SEND,
        SEND,
        block("NO_CONSENT"),
    ]
    suppression.apply_now([no("FOO@googlemail.com")])
    assert set(ask(suppression, "f.oo+shop@gmail.com", "foo@gmail.com", "f.oo@gmail.com")) == {block("OPTOUT_ALL")}


def test_topics_and_senders_are_kept_apart(opened) -> None:
    suppression = opened()
    suppression.apply_now(
        [
            yes("a@x.jp"),
            yes("b@x.jp", topics=("news", "shop")),
            OptOut("a@x.jp", 2.0, "web", Scope.TOPIC, "acme", "shop"),
        ]
    )
    assert ask(suppression, "a@x.jp", "b@x.jp", topic="news") == [SEND, SEND]
    assert ask(suppression, "a@x.jp", "b@x.jp", topic="shop") == [block("OPTOUT_TOPIC"), SEND]
    assert ask(suppression, "a@x.jp", "b@x.jp", topic="other") == [SEND, block("NO_CONSENT")]
    assert ask(suppression, "a@x.jp", "b@x.jp", sender="other") == [block("NO_CONSENT")] * 2


def test_a_refusal_of_every_sender_reaches_those_that_nobody_knows_yet(opened) -> None:
    suppression = opened()
    suppression.apply_now([yes("a@x.jp"), OptOut("a@x.jp", 2.0, "phone", Scope.GLOBAL)])
    assert ask(suppression, "a@x.jp") == ask(suppression, "a@x.jp", sender="new") == [block("OPTOUT_ALL")]


def test_mail_order_needs_its_own_consent(opened) -> None:
    suppression = opened()
    suppression.apply_now([yes("a@x.jp"), yes("b@x.jp", basis=Basis.MO_REC, covers=Covers.AD | Covers.MAIL_ORDER)])
    made = ask(suppression, "a@x.jp", "b@x.jp", category=Category.AD_MO)
    assert made == [block("MO_NO_ACCEPT"), Decision(Verdict.SEND, "", "C1_MO")]


def test_an_unknown_category_is_blocked(opened) -> None:
    suppression = opened()
    suppression.apply_now([yes("a@x.jp")])
    assert ask(suppression, "a@x.jp", category="SPAM") == [block("CAT_UNKNOWN")]


def test_equal_decisions_are_one_object(opened) -> None:
    suppression = opened()
    first, second = ask(suppression, "a@x.jp", "b@x.jp")
    assert first is second is ask(suppression, "c@x.jp", topic="t")[0]


def test_an_acknowledged_event_is_in_force_for_the_loop(opened) -> None:
    suppression = opened()

    async def talk() -> None:
        assert await suppression.apply([]) == 0
        epochs = await asyncio.gather(*(suppression.apply([yes(f"u{n}@x.jp"), yes(f"v{n}@x.jp")]) for n in range(50)))
        assert max(epochs) == suppression.epoch == 100
        assert ask(suppression, *(f"u{n}@x.jp" for n in range(50))) == [SEND] * 50
        await suppression.apply([no("u7@x.jp")])
        assert ask(suppression, "u7@x.jp", "u8@x.jp") == [block("OPTOUT_ALL"), SEND]

    asyncio.run(talk())


def test_a_call_that_was_given_up_harms_nobody(opened) -> None:
    suppression = opened()

    async def talk() -> None:
        calls = [asyncio.ensure_future(suppression.apply([yes(f"u{n}@x.jp")])) for n in range(20)]
        await asyncio.sleep(0)
        for call in calls[::2]:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert ask(suppression, *(f"u{n}@x.jp" for n in range(1, 20, 2))) == [SEND] * 10

    asyncio.run(talk())
    assert suppression.apply_now([yes("z@x.jp")]) == suppression.epoch


@pytest.mark.parametrize(
    ("event", "text"),
    [(yes("nonsense"), "address: 'nonsense'"), (yes("a@x.jp", NOW + 301), "at: "), (no("\ud800@x.jp"), "address: ")],
)
def test_a_bad_event_leaves_nothing_of_its_batch(opened, event, text) -> None:
    suppression = opened()
    with pytest.raises(EventError, match=text):
        suppression.apply_now([yes("a@x.jp"), event])
    assert suppression.epoch == 0
    assert ask(suppression, "a@x.jp") == [block("NO_CONSENT")]
    assert suppression.failure is None


def test_a_time_within_the_tolerance_counts_as_now(opened) -> None:
    suppression = opened()
    suppression.apply_now([yes("a@x.jp", NOW + 200), no("a@x.jp", NOW)])
    assert ask(suppression, "a@x.jp") == [block("OPTOUT_ALL")]


def test_reopened_it_says_the_same(opened) -> None:
    first = opened()
    first.apply_now([yes("a@x.jp"), yes("b@x.jp"), no("b@x.jp"), HardBounce("c@x.jp", 1.0, "smtp")])
    said, epoch = ask(first, "a@x.jp", "b@x.jp", "c@x.jp"), first.epoch
    first.close()
    second = opened()
    assert second.epoch == epoch
    assert ask(second, "a@x.jp", "b@x.jp", "c@x.jp") == said


def test_closed_it_records_nothing(opened) -> None:
    suppression = opened()
    suppression.close()
    assert suppression.apply_now([]) == 0
    with pytest.raises(LedgerFailed, match="closed"):
        suppression.apply_now([yes("a@x.jp")])


def test_imports_many_and_reports_the_refused(opened) -> None:
    suppression = opened()
    rows = [(f"u{n}@x.jp", float(n)) for n in range(1000)]
    rows[3] = ("nonsense", 1.0)
    rows[5] = ("late@x.jp", NOW + 1)
    seen = []
    imported = suppression.load(yes(""), rows, progress=lambda so_far: seen.append(so_far.recorded))
    assert (imported.recorded, imported.refused_count, seen) == (998, 2, [998])
    assert [(row, address) for row, address, _ in imported.refused] == [(3, "nonsense"), (5, "late@x.jp")]
    assert ask(suppression, "u0@x.jp", "u999@x.jp", "late@x.jp") == [SEND, SEND, block("NO_CONSENT")]
    assert suppression.epoch == 998
    assert suppression.entries == 998
    assert (suppression.counts.events, suppression.counts.commits) == (998, 1)


def test_an_import_goes_in_by_parts_and_bounds_what_it_reports(opened, monkeypatch) -> None:
    monkeypatch.setattr("suppression.face._IMPORT_ROWS", 3)
    monkeypatch.setattr("suppression.face._MAX_REFUSED", 2)
    suppression = opened()
    rows = [(f"u{n}@x.jp" if n % 2 else "nonsense", 1.0) for n in range(20)]
    seen = []
    imported = suppression.load(yes(""), rows, progress=lambda so_far: seen.append(so_far.recorded))
    assert seen == [3, 6, 9, 10]
    assert (imported.refused_count, len(imported.refused)) == (10, 2)
    assert ask(suppression, *(address for address, _ in rows[1::2])) == [SEND] * 10


def test_imports_nothing(opened) -> None:
    suppression = opened()
    assert suppression.load(yes(""), []).recorded == 0
    assert suppression.load(yes(""), [("nonsense", 1.0)]).recorded == 0
    with pytest.raises(EventError, match="sender: empty"):
        suppression.load(Consent("", 0.0, "web", ""), [("a@x.jp", 1.0)])
    assert suppression.epoch == 0


def test_imports_refusals_over_known_consents(opened) -> None:
    suppression = opened()
    suppression.load(yes("", topics=("news", "shop")), [(f"u{n}@x.jp", 1.0) for n in range(300)])
    suppression.load(no(""), [(f"u{n}@x.jp", 2.0) for n in range(0, 400, 2)])
    said = ask(suppression, *(f"u{n}@x.jp" for n in range(400)), topic="news")
    assert said[0:300:2] == said[300:400:2] * 3 == [block("OPTOUT_ALL")] * 150
    assert said[1:300:2] == [SEND] * 150
    assert said[301::2] == [block("NO_CONSENT")] * 50


def test_a_full_disk_blocks_everything_and_moves_the_epoch(opened) -> None:
    suppression = opened()
    suppression.apply_now([yes("a@x.jp")])
    before = suppression.epoch
    pages = suppression._ledger._database.pragma("page_count")
    suppression._ledger._database.pragma("max_page_count", pages)
    with pytest.raises(LedgerFailed, match="full"):
        suppression.apply_now([no(f"u{n}@x.jp") for n in range(2000)])
    assert suppression.failure is not None
    assert suppression.epoch > before
    assert ask(suppression, "a@x.jp", "b@x.jp") == [block("SUPPRESSION_UNAVAILABLE")] * 2
    assert ask(suppression, "a@x.jp", category="TX") == [block("SUPPRESSION_UNAVAILABLE")]
    with pytest.raises(LedgerFailed, match="full"):
        suppression.apply_now([no("a@x.jp")])
    suppression.close()
    again = opened()
    assert again.epoch == before
    assert ask(again, "a@x.jp", "u1@x.jp") == [SEND, block("NO_CONSENT")]


def test_waiting_calls_fail_with_the_one_that_failed(opened) -> None:
    suppression = opened()

    async def talk() -> list[BaseException | int]:
        calls = [suppression.apply([no(f"u{n}-{m}@x.jp") for m in range(300)]) for n in range(30)]
        return await asyncio.gather(*calls, return_exceptions=True)

    suppression._ledger._database.pragma("max_page_count", 30)
    answers = asyncio.run(talk())
    assert any(isinstance(answer, LedgerFailed) for answer in answers)
    assert all(isinstance(answer, LedgerFailed | int) for answer in answers)


def test_a_snapshot_that_cannot_be_written_costs_time_only(opened, settings, caplog) -> None:
    suppression = opened()
    suppression.apply_now([yes("a@x.jp")])
    (settings.folder / "index.snapshot").mkdir()
    with caplog.at_level(logging.WARNING):
        suppression.close()
    assert "snapshot not written" in caplog.text
    assert (suppression.counts.snapshots, suppression.counts.snapshots_failed) == (0, 1)
    (settings.folder / "index.snapshot").rmdir()
    assert ask(opened(), "a@x.jp") == [SEND]


def test_many_standings_keep_the_ready_decisions_bounded(opened, monkeypatch) -> None:
    monkeypatch.setattr("suppression.columns._MAX_CELLS", 3)
    suppression = opened()
    suppression.apply_now([yes("a@x.jp"), no("b@x.jp"), HardBounce("c@x.jp", 1.0, "smtp")])
    for category in Category:
        ask(suppression, "a@x.jp", "b@x.jp", "c@x.jp", category=category)
    assert len(suppression._columns.ready) < len(Category)
    assert ask(suppression, "a@x.jp") == [SEND]


def test_the_ledger_keeps_the_address_as_told_with_source_and_evidence(opened, settings) -> None:
    suppression = opened()
    suppression.apply_now([yes(" A@X.jp", evidence="form 7"), yes("b@x.jp", evidence="form 7")])
    suppression.close()
    database = apsw.Connection(str(settings.folder / "ledger.sqlite"), flags=apsw.SQLITE_OPEN_READONLY)
    rows = database.execute(
        "SELECT address, s.content, e.content, recorded FROM event"
        " JOIN text s ON s.id = source JOIN text e ON e.id = evidence ORDER BY event.id"
    ).fetchall()
    database.close()
    assert rows == [(" A@X.jp", "web", "form 7", NOW * 1e6), ("b@x.jp", "web", "form 7", NOW * 1e6)]


class Clock:
    def __init__(self, at: float) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


MIDNIGHT = begins(number_of(date(2027, 1, 16)))
"""The next one in Japan after NOW."""


@pytest.fixture
def clocked(settings) -> Iterator[tuple[Suppression, Clock]]:
    clock = Clock(NOW)
    suppression = Suppression.open(settings, clock)
    yield suppression, clock
    suppression.close()


def test_at_midnight_in_japan_the_epoch_moves_and_the_decisions_follow_the_day(clocked) -> None:
    suppression, clock = clocked
    until = date(2027, 1, 15)
    suppression.apply_now(
        [
            yes("a@x.jp"),
            OptOut("a@x.jp", 2.0, "web", Scope.PERIOD, "acme", until=until),
            yes("b@x.jp", basis=Basis.BIZREL, until=until),
            yes("c@x.jp", basis=Basis.PUBLISHED, at=NOW - 90 * 86_400),
        ]
    )
    sent = [Decision(Verdict.SEND, "", basis) for basis in ("EX3_BIZREL", "EX4_PUBLISHED")]
    addresses = ("a@x.jp", "b@x.jp", "c@x.jp")
    assert ask(suppression, *addresses) == [block("OPTOUT_PERIOD"), *sent]
    epoch = suppression.epoch
    clock.at = MIDNIGHT - 0.001
    assert (suppression.epoch, ask(suppression, *addresses)) == (epoch, [block("OPTOUT_PERIOD"), *sent])
    clock.at = MIDNIGHT
    assert suppression.epoch == epoch + 1
    assert ask(suppression, *addresses) == [SEND, block("BIZREL_ENDED"), block("PUBLISHED_STALE")]
    clock.at = NOW
    assert suppression.epoch == epoch + 1, "a day never comes back"


@pytest.mark.parametrize("asked", ["one", "many"])
def test_whoever_asks_first_after_midnight_gets_the_new_day(clocked, asked) -> None:
    suppression, clock = clocked
    suppression.apply_now([yes("b@x.jp", basis=Basis.BIZREL, until=date(2027, 1, 15))])
    identity = suppression.identify(["b@x.jp"])
    assert suppression.decide_identities("acme", "", "AD", identity * BATCH)[0].verdict is Verdict.SEND
    clock.at = MIDNIGHT
    many = suppression.decide_identities if asked == "many" else None
    said = (
        many("acme", "", "AD", identity * BATCH)[0] if many else suppression.decide_one("acme", "", "AD", identity[0])
    )
    assert said == block("BIZREL_ENDED")


def test_days_before_the_first_table_block_everything(clocked, settings) -> None:
    suppression, _ = clocked
    suppression.close()
    early = Suppression.open(settings, Clock(1_700_000_000.0))
    try:
        assert ask(early, "a@x.jp", category="TX") == [block("RULES_NONE")]
        assert early.explain("acme", "", "TX", early.identify(["a@x.jp"])[0]).decision == block("RULES_NONE")
    finally:
        early.close()


def test_an_order_stops_a_sender_with_its_answer_and_outlives_a_restart(opened) -> None:
    suppression = opened()
    suppression.apply_now([yes("a@x.jp"), yes("b@x.jp", basis=Basis.CARD)])
    order = OrderReceived("acme", OrderKind.ORDER7, NOW - 2, date(2027, 1, 15), ("news",))
    before = suppression.epoch
    epoch = asyncio.run(suppression.apply_order(order))
    assert epoch == suppression.epoch > before
    assert ask(suppression, "a@x.jp", topic="news") == [block("ORDER7_HOLD")]
    assert ask(suppression, "a@x.jp", topic="shop") == ask(suppression, "a@x.jp") == [SEND]
    assert ask(suppression, "a@x.jp", topic="news", category="TX") == [FREE]
    assert suppression.history.orders()[0].sender == "acme"
    suppression.close()
    again = opened()
    assert ask(again, "a@x.jp", topic="news") == [block("ORDER7_HOLD")]
    release = OrderReleased("acme", OrderKind.ORDER7, NOW - 1, "山田", ("news",))
    asyncio.run(again.apply_order(release))
    assert ask(again, "a@x.jp", "b@x.jp", topic="news") == [SEND, block("ORDER7_CONSENT_ONLY")]
    with pytest.raises(EventError, match="officer"):
        asyncio.run(again.apply_order(replace(release, officer="")))


def test_a_senders_state_is_in_force_at_once_and_moves_the_epoch_when_it_changes(opened) -> None:
    suppression = opened()
    suppression.apply_now([yes("a@x.jp"), yes("b@x.jp", basis=Basis.CARD)])
    assert ask(suppression, "a@x.jp", "b@x.jp", category="OTHER_AD")[1].verdict is Verdict.STRIP
    epoch = suppression.epoch
    suppression.set_sender("acme", SenderState())
    assert suppression.epoch == epoch
    suppression.set_sender("acme", SenderState(mail_order=False, regions=("JP", "EU")))
    assert suppression.epoch == epoch + 1
    assert ask(suppression, "b@x.jp", category="OTHER_AD") == [Decision(Verdict.STRIP, "REGION_EU", "")]
    suppression.set_sender("acme", SenderState(mail_order=False, regions=("JP", "DE")))
    assert ask(suppression, "b@x.jp", category="OTHER_AD") == [Decision(Verdict.STRIP, "REGION_EU", "")]
    assert (suppression.regions["DE"], suppression.regions["EU"], suppression.regions.get("XX")) == ("EU", "EU", None)
    suppression.set_sender("acme", SenderState(identity="IDENTITY_SPF"))
    assert ask(suppression, "a@x.jp", category="TX") == [block("IDENTITY_SPF")]
    assert ask(suppression, "a@x.jp", category="TX", sender="other") == [FREE]


def test_the_caller_says_what_the_message_lacks_and_where_the_recipient_is(opened) -> None:
    suppression = opened()
    suppression.apply_now([yes("a@x.jp"), yes("b@x.jp", basis=Basis.CARD)])
    identities = suppression.identify(["a@x.jp", "b@x.jp"])
    told = suppression.decide_identities("acme", "", "AD", identities, region="EU")
    assert told == [SEND, block("REGION_EU")]
    assert suppression.decide_identities("acme", "", "AD", identities * BATCH, region="EU") == told * BATCH
    assert suppression.decide_one("acme", "", "AD", identities[1], region="EU") == block("REGION_EU")
    assert suppression.decide_identities("acme", "", "AD", [*identities, b""], "DISPLAY_NAME") == [
        block("DISPLAY_NAME"), block("DISPLAY_NAME"), block("ADDR_SYNTAX"),
    ]  # fmt: skip
    assert suppression.decide_one("acme", "", "AD", identities[0], region="JP") == SEND


@pytest.mark.parametrize("override", ["", "UNKNOWN_USER"])
def test_an_override_is_asked_alone_and_for_many(opened, override) -> None:
    suppression = opened()
    suppression.apply_now([HardBounce("a@x.jp", NOW - 5, "smtp")])
    identities = suppression.identify(["a@x.jp", "b@x.jp"])
    goes = Decision(Verdict.SEND, "", "TX_UNKNOWN") if override else block("ADDR_UNKNOWN")
    assert suppression.decide_identities("acme", "", "TX", identities, "", "", override) == [goes, FREE]
    assert suppression.decide_identities("acme", "", "TX", identities * BATCH, "", "", override) == [goes, FREE] * BATCH
    assert suppression.decide_identities("acme", "", "TX", [*identities, b""], "", "", override)[0] == goes
    assert suppression.decide_one("acme", "", "TX", identities[0], override=override) == goes
    assert suppression.decide_one("acme", "", "AD", identities[0], override=override) == block("ADDR_UNKNOWN")


def test_explains_with_row_and_article(opened) -> None:
    suppression = opened()
    suppression.apply_now([yes("a@x.jp"), no("a@x.jp")])
    identity = suppression.identify(["a@x.jp"])[0]
    found = suppression.explain("acme", "", "AD", identity)
    assert (found.decision, found.row, found.article) == (block("OPTOUT_ALL"), "ALL", "特定電子メール法3条3項")
    assert suppression.explain("acme", "", "AD", b"").decision == block("ADDR_SYNTAX")


def test_what_was_asked_before_the_first_event_of_a_sender_is_asked_anew(opened) -> None:
    suppression = opened()
    assert ask(suppression, "a@x.jp", topic="news") == [block("NO_CONSENT")]
    suppression.apply_now([yes("a@x.jp", topics=("news",))])
    assert ask(suppression, "a@x.jp", topic="news") == [SEND]


def test_ready_answers_are_bounded_however_many_topics_are_asked(opened, monkeypatch) -> None:
    monkeypatch.setattr("suppression.columns._MAX_READY", 3)
    suppression = opened()
    for number in range(10):
        ask(suppression, "a@x.jp", topic=f"t{number}")
    assert len(suppression._columns.ready) <= 3


def test_an_import_of_what_grows_old_goes_by_the_day_of_each(opened, settings) -> None:
    suppression = opened()
    suppression.apply_now([Withdrawal("u1@x.jp", 1.0, "web", "acme")])
    rows = [(f"u{days}@x.jp", NOW - days * 86_400) for days in (0, 1, 365, 366, 1000)]
    event = yes("", basis=Basis.BIZREL)
    suppression.load(event, [*rows, ("u366@x.jp", NOW)])
    sent, ended = Decision(Verdict.SEND, "", "EX3_BIZREL"), block("BIZREL_ENDED")
    expected = [sent, sent, sent, sent, ended]
    addresses = [address for address, _ in rows]
    assert ask(suppression, *addresses) == expected
    suppression.close()
    second = opened()
    assert ask(second, *addresses) == expected
    second.close()
    (settings.folder / "index.snapshot").unlink()
    assert ask(opened(), *addresses) == expected
