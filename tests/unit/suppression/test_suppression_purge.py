"""Purging and forgetting on a real ledger: what goes, what stays and until when, and that no decision changes by it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import apsw
import pytest

from suppression import (
    Complaint,
    Consent,
    Covers,
    Event,
    EventError,
    HardBounce,
    OptOut,
    Scope,
    Suppression,
    SuppressionSettings,
    Withdrawal,
)
from suppression.day import begins, number_of
from suppression.forget import Forget, Forgotten, identity_of
from suppression.hold import HoldAct, HoldWish, check_hold
from suppression.keeping import Keeping, RetentionSettings
from suppression.purge import Purge, Purged
from suppression.recording import Entry, Writing
from suppression.retention import OPEN, Rule
from suppression.sent import SentStore, presume

MARGIN = 7


def noon(text: str) -> float:
    """In Japan."""
    return begins(number_of(date.fromisoformat(text))) + 12 * 3600


@dataclass
class Ordered:
    """An act that records an order, as suppression's own does."""

    sender: str
    kind: int
    day: str
    officer: str = ""
    scope: str = "[]"
    recorded: int = 0

    def perform(self, writing: Writing) -> Sequence[Entry]:
        writing.database.execute(
            "CREATE TABLE IF NOT EXISTS order_event (id INTEGER PRIMARY KEY, sender INTEGER, kind INTEGER, at INTEGER,"
            " day INTEGER, scope TEXT, officer TEXT, evidence TEXT, recorded INTEGER)"
        )
        day = number_of(date.fromisoformat(self.day))
        writing.database.execute(
            "INSERT INTO order_event (sender, kind, at, day, scope, officer, evidence, recorded)"
            " VALUES (?, ?, 0, ?, ?, ?, '', 0)",
            (writing.sender(self.sender), self.kind, day, self.scope, self.officer),
        )
        return ()


@dataclass
class House:
    folder: Path
    suppression: Suppression
    sent: SentStore
    now: list[float]
    settings: RetentionSettings = field(default_factory=RetentionSettings)
    waiting: set[str] = field(default_factory=set)
    asked: list[frozenset[str]] = field(default_factory=list)

    def at(self, day: str) -> None:
        self.now[0] = noon(day)

    def tell(self, *events: Event) -> None:
        self.suppression.apply_now(list(events))

    async def mailed(self, sender: str, day: str, *addresses: str, mail_order: bool = False) -> None:
        number = number_of(date.fromisoformat(day))
        future = self.sent.note(sender, number, self.suppression.identify(addresses), mail_order=mail_order)
        if future is not None:
            await future

    def _waiting(self, addresses: frozenset[str]) -> frozenset[str]:
        self.asked.append(addresses)
        return addresses & self.waiting

    def purge(self, *, is_rehearsal: bool = False) -> Purged:
        made = Purge(
            self.folder, self.suppression, self.sent, self.settings, clock=lambda: self.now[0], waiting=self._waiting
        )
        return made.run(lambda: None, is_rehearsal=is_rehearsal)

    def forget(self, address: str, *, withdraw: bool = False) -> Forgotten:
        made = Forget(
            self.folder, self.suppression, self.sent, self.settings, clock=lambda: self.now[0], waiting=self._waiting
        )
        return made.run(address, withdraw=withdraw)

    def hold(self, matter: str, sender: str = "", address: str = "", *, release: bool = False) -> str:
        """Why it was not recorded; empty: it was."""
        wish = HoldWish(matter, sender, address, "山田", self.now[0], "file 9", release)
        check_hold(wish, self.now[0])
        act = HoldAct(wish, self.suppression.identify([address])[0] if address else b"", self.now[0])
        self.suppression.perform_now(act)
        return act.fault

    def rows(
        self, query: str = "SELECT kind, address, content FROM event JOIN text ON text.id = evidence ORDER BY event.id"
    ) -> list[Any]:
        with closing(apsw.Connection(str(self.folder / "ledger.sqlite"))) as database:
            return list(database.execute(query))

    def reasons(self, *addresses: str) -> list[str]:
        return [made.reason for made in self.suppression.decide("shop", "", "AD", addresses)]


def living(folder: Path, test: Callable[[House], Awaitable[None]]) -> None:
    async def main() -> None:
        now = [noon("2026-04-10")]
        settings = SuppressionSettings(folder / "ledger", folder / "secret")
        suppression = Suppression.open(settings, lambda: now[0])
        sent = SentStore(settings.folder)
        try:
            await test(House(settings.folder, suppression, sent, now))
        finally:
            await asyncio.to_thread(sent.close)
            suppression.close()

    asyncio.run(main())


def consent(address: str, day: str = "2026-01-05", sender: str = "shop", evidence: str = "") -> Consent:
    covers = Covers.AD | Covers.MAIL_ORDER
    return Consent(address, noon(day), "web", sender, covers=covers, evidence=evidence or f"form of {address}")


def refusal(address: str, day: str = "2026-04-11", sender: str = "shop") -> OptOut:
    return OptOut(address, noon(day), "web", Scope.SENDER, sender, evidence=f"click of {address}")


def test_a_refused_consent_goes_after_its_month_and_margin_and_the_refusal_stays(tmp_path: Path) -> None:
    async def test(house: House) -> None:
        house.tell(consent("a@x.jp"), consent("b@x.jp"))
        await house.mailed("shop", "2026-04-10", "a@x.jp", "b@x.jp")
        house.at("2026-04-11")
        house.tell(refusal("a@x.jp"))
        house.at("2026-05-16")  # 2026-05-09 and a week
        assert (house.purge().purged, dict(house.purge().kept)) == (0, {"MONTH": 1})
        house.at("2026-05-17")
        assert house.purge(is_rehearsal=True).purged == 1
        before = house.rows()
        purged = house.purge()
        assert (purged.examined, purged.purged, purged.events, purged.texts) == (1, 1, 1, 1)
        assert before[0] == (2, "a@x.jp", "form of a@x.jp")
        assert house.rows() == [(2, None, ""), *before[1:]]
        assert house.reasons("a@x.jp", "b@x.jp") == ["OPTOUT_ALL", ""]
        assert "form of a@x.jp" not in str(house.rows("SELECT content FROM text"))
        assert house.rows("SELECT kind, events FROM erasure") == [("purge", 1)]
        assert house.purge().examined == 0

    living(tmp_path, test)


def test_a_consent_in_force_is_never_purged_however_old(tmp_path: Path) -> None:
    async def test(house: House) -> None:
        house.tell(consent("a@x.jp"), refusal("a@x.jp", "2026-02-01"), consent("a@x.jp", "2026-03-01"))
        house.tell(consent("b@x.jp"), OptOut("b@x.jp", noon("2026-02-01"), "web", Scope.TOPIC, "shop", "news"))
        house.at("2046-01-01")
        assert dict(house.purge().kept) == {"IN_FORCE": 2}

    living(tmp_path, test)


@pytest.mark.parametrize(
    "end",
    [
        Withdrawal("a@x.jp", noon("2026-02-01"), "crm", "shop"),
        Complaint("a@x.jp", noon("2026-02-01"), "arf", "shop"),
        OptOut("A@X.jp", noon("2026-02-01"), "web", Scope.GLOBAL),
    ],
)
def test_what_was_never_sent_to_is_kept_until_the_decision(tmp_path: Path, end: Event) -> None:
    async def test(house: House) -> None:
        house.tell(consent("a@x.jp"), end)
        house.at("2026-02-08")
        assert dict(house.purge().kept) == {"UNSENT": 1}
        house.at("2026-02-09")
        assert house.purge().purged == 1

    living(tmp_path, test)


def test_mail_order_is_kept_for_three_years(tmp_path: Path) -> None:
    async def test(house: House) -> None:
        house.tell(consent("a@x.jp"))
        await house.mailed("shop", "2026-04-10", "a@x.jp", mail_order=True)
        house.at("2026-04-11")
        house.tell(refusal("a@x.jp"))
        house.at("2029-04-17")
        assert dict(house.purge().kept) == {"MAIL_ORDER": 1}
        house.at("2029-04-18")
        assert house.purge().purged == 1

    living(tmp_path, test)


def test_what_a_restored_store_cannot_know_is_presumed(tmp_path: Path) -> None:
    async def test(house: House) -> None:
        house.tell(consent("a@x.jp"), refusal("a@x.jp", "2026-02-01"))
        plain = Consent("b@x.jp", noon("2026-01-05"), "web", "shop")
        house.tell(plain, refusal("b@x.jp", "2026-02-01"))
        house.at("2026-03-10")
        house.tell(consent("c@x.jp", "2026-03-02"), refusal("c@x.jp", "2026-03-02"))
        await asyncio.to_thread(house.sent.close)
        presume(house.folder, number_of(date(2026, 3, 1)))
        house.sent = SentStore(house.folder)
        kept = dict(house.purge().kept)
        assert kept == {"MAIL_ORDER": 1, "MONTH": 1}, "c was asked after that day"
        await asyncio.to_thread(house.sent.close)

    living(tmp_path, test)


def test_an_order_freezes_at_once_and_counts_after_its_release(tmp_path: Path) -> None:
    async def test(house: House) -> None:
        house.tell(consent("a@x.jp"), consent("a@x.jp", sender="other"))
        await house.mailed("shop", "2026-04-10", "a@x.jp")
        house.at("2026-04-11")
        house.tell(refusal("a@x.jp"), refusal("a@x.jp", sender="other"))
        await house.suppression.perform(Ordered("shop", 1, "2026-05-01"))
        house.at("2026-12-01")
        purged = house.purge()
        assert (purged.purged, dict(purged.kept)) == (1, {"FROZEN": 1}), "the other sender's goes"
        await house.suppression.perform(Ordered("shop", 1, "2026-06-01", officer="Sato", scope='["news"]'))
        assert dict(house.purge().kept) == {"FROZEN": 1}, "released for one topic only"
        await house.suppression.perform(Ordered("shop", 1, "2026-06-02", officer="Sato"))
        house.at("2027-04-16")
        assert dict(house.purge().kept) == {"ORDER_SOON": 1}
        house.at("2027-04-17")
        assert house.purge().purged == 1

    living(tmp_path, test)


def test_an_order_that_arrives_during_the_pass_is_heeded(tmp_path: Path) -> None:
    async def test(house: House) -> None:
        house.tell(consent("a@x.jp"), refusal("a@x.jp", "2026-02-01"))
        house.at("2026-06-01")

        def ordered(_: frozenset[str]) -> frozenset[str]:
            house.suppression.perform_now(Ordered("shop", 2, "2026-06-01"))
            return frozenset()

        house._waiting = ordered  # type: ignore[method-assign]
        assert house.purge().events == 0
        assert house.rows()[0][1] == "a@x.jp"

    living(tmp_path, test)


def test_who_consents_again_during_the_pass_is_left_alone(tmp_path: Path) -> None:
    async def test(house: House) -> None:
        house.tell(consent("a@x.jp"), refusal("a@x.jp", "2026-02-01"))
        house.at("2026-06-01")

        def again(_: frozenset[str]) -> frozenset[str]:
            house.tell(consent("a@x.jp", "2026-06-01"))
            return frozenset()

        house._waiting = again  # type: ignore[method-assign]
        assert house.purge().events == 0

    living(tmp_path, test)


def test_never_while_a_message_waits_and_a_send_meanwhile_counts(tmp_path: Path) -> None:
    async def test(house: House) -> None:
        house.tell(consent("A@x.jp"), refusal("a@x.jp", "2026-02-01"))
        house.at("2026-06-01")
        house.waiting = {"A@x.jp"}
        assert dict(house.purge().kept) == {"QUEUED": 1}
        loop = asyncio.get_running_loop()

        def sent(_: frozenset[str]) -> frozenset[str]:
            asyncio.run_coroutine_threadsafe(house.mailed("shop", "2026-06-01", "a@x.jp"), loop).result()
            return frozenset()

        house._waiting = sent  # type: ignore[method-assign]
        assert dict((await asyncio.to_thread(house.purge)).kept) == {"MONTH": 1}

    living(tmp_path, test)


def test_a_hold_keeps_everything_of_its_sender(tmp_path: Path) -> None:
    async def test(house: House) -> None:
        house.tell(consent("a@x.jp"), refusal("a@x.jp", "2026-02-01"), HardBounce("a@x.jp", noon("2026-02-02"), "smtp"))
        house.settings = RetentionSettings(hold=("shop",))
        house.at("2040-01-01")
        assert dict(house.purge().kept) == {"HOLD": 1}
        assert house.forget("a@x.jp").erased == 1, "the bounce alone is nobody's"
        assert [row[1] for row in house.rows()] == ["a@x.jp", "a@x.jp", None]

    living(tmp_path, test)


@pytest.mark.parametrize(
    ("sender", "address", "kept"),
    [
        ("shop", "", ["a@x.jp", "A@x.jp", "b@x.jp", None]),
        ("", "A@X.jp", ["a@x.jp", "A@x.jp", None, "a@x.jp"]),
        ("shop", "a@x.jp", ["a@x.jp", "A@x.jp", None, None]),
        ("other", "", [None, None, None, "a@x.jp"]),
    ],
)
def test_a_legal_hold_keeps_what_it_names_from_purge_and_forgetting_until_its_release(
    tmp_path: Path, sender: str, address: str, kept: list[str | None]
) -> None:
    async def test(house: House) -> None:
        house.tell(consent("a@x.jp"), consent("A@x.jp"), consent("b@x.jp"), consent("a@x.jp", sender="other"))
        house.tell(*(refusal(who, "2026-02-01", by) for who in ("a@x.jp", "b@x.jp") for by in ("shop", "other")))
        assert house.hold("case 1", sender, address) == ""
        house.at("2040-01-01")
        purged = house.purge()
        assert [row[1] for row in house.rows()[:4]] == kept
        records = len({(one.lower(), number == 3) for number, one in enumerate(kept) if one})
        assert purged.kept["HOLD"] == records, "the two spellings are one record"
        house.forget("a@x.jp")
        house.forget("b@x.jp")
        assert [row[1] for row in house.rows()[:4]] == kept
        assert house.reasons("a@x.jp", "b@x.jp") == ["OPTOUT_ALL", "OPTOUT_ALL"]
        assert house.hold("case 1", sender, address, release=True) == ""
        assert house.purge().purged == records
        assert [row[1] for row in house.rows()[:4]] == [None] * 4

    living(tmp_path, test)


def test_two_matters_hold_and_each_is_released_by_itself(tmp_path: Path) -> None:
    async def test(house: House) -> None:
        house.tell(consent("a@x.jp"), refusal("a@x.jp", "2026-02-01"))
        assert house.hold("case 1", "", "a@x.jp") == house.hold("case 2", "shop") == ""
        assert "holds already" in house.hold("case 1", "", "a@x.jp")
        assert "holds no such" in house.hold("case 1", "shop", release=True)
        house.at("2040-01-01")
        for matter, where in (("case 1", ("", "a@x.jp")), ("case 2", ("shop", ""))):
            assert house.purge().purged == 0
            assert house.hold(matter, *where, release=True) == ""
        assert "holds no such" in house.hold("case 1", "", "a@x.jp", release=True)
        assert house.purge().purged == 1
        assert house.hold("case 1", "", "a@x.jp") == "", "and may be placed anew"

    living(tmp_path, test)


def test_a_hold_that_comes_during_the_pass_is_heeded(tmp_path: Path) -> None:
    async def test(house: House) -> None:
        house.tell(consent("a@x.jp"), refusal("a@x.jp", "2026-02-01"))
        house.at("2040-01-01")

        def late(addresses: frozenset[str]) -> frozenset[str]:
            house.hold("case 1", "", "a@x.jp")
            return frozenset()

        house._waiting = late  # type: ignore[method-assign]
        assert house.purge().events == 0
        assert house.rows()[0][1] == "a@x.jp"

    living(tmp_path, test)


def test_a_hold_remembers_whom_it_was_about_until_they_are_forgotten_after_its_release(tmp_path: Path) -> None:
    async def test(house: House) -> None:
        def told() -> list[Any]:
            return house.rows("SELECT address, evidence, matter FROM hold_event ORDER BY id")

        house.hold("case 1", "", "a@x.jp")
        house.forget("a@x.jp")
        assert told() == [("a@x.jp", "file 9", "case 1")]
        house.hold("case 1", "", "a@x.jp", release=True)
        house.forget("a@x.jp")
        assert told() == [(None, "", "case 1")] * 2
        with pytest.raises(apsw.ConstraintError, match="a hold is evidence"):
            house.rows("DELETE FROM hold_event")
        with pytest.raises(apsw.ConstraintError, match="a hold is evidence"):
            house.rows("UPDATE hold_event SET released = 1")

    living(tmp_path, test)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"matter": ""}, "matter: empty"),
        ({"officer": ""}, "officer: empty"),
        ({"officer": "a\x1b"}, "officer: "),
        ({"sender": ""}, "address: missing; a hold names"),
        ({"sender": "x" * 201}, "sender: "),
        ({"at": 2e9}, "at: "),
        ({"evidence": "x" * 65_537}, "evidence: 65537 characters"),
    ],
)
def test_a_hold_says_who_and_why(changes: dict[str, Any], fault: str) -> None:
    wish = HoldWish(**({"matter": "case", "sender": "shop", "address": "", "officer": "山田", "at": 1.0} | changes))
    with pytest.raises(EventError, match=fault):
        check_hold(wish, 1000.0)


def test_evidence_that_others_share_stays(tmp_path: Path) -> None:
    async def test(house: House) -> None:
        shared = "form 12"
        house.tell(consent("a@x.jp", evidence=shared), consent("b@x.jp", evidence=shared))
        house.tell(refusal("a@x.jp", "2026-02-01"))
        house.at("2026-06-01")
        purged = house.purge()
        assert (purged.purged, purged.texts) == (1, 0)
        assert [row[2] for row in house.rows()] == ["", shared, "click of a@x.jp"]
        assert house.rows("SELECT count(*) FROM unused_text") == [(0,)]
        house.tell(consent("c@x.jp", evidence=shared))
        assert house.rows()[-1][2] == shared

    living(tmp_path, test)


def test_forgetting_keeps_the_refusal_and_what_the_law_asks_for(tmp_path: Path) -> None:
    async def test(house: House) -> None:
        house.tell(consent("taro@gmail.com"), consent("ta.ro+x@gmail.com", sender="other"), consent("b@x.jp"))
        await house.mailed("shop", "2026-04-10", "taro@gmail.com")
        house.at("2026-04-11")
        house.tell(refusal("Taro@gmail.com"), HardBounce("taro@gmail.com", noon("2026-04-11"), "smtp", evidence="550"))
        before = house.suppression.entries, house.reasons("taro@gmail.com", "ta.ro@gmail.com", "b@x.jp")
        forgotten = house.forget("t.aro@gmail.com")
        assert (forgotten.known, forgotten.erased) == (4, 2)
        left = {(one.sender, one.until, one.rule) for one in forgotten.remaining}
        assert left == {("shop", date(2026, 5, 16), Rule.MONTH), ("other", OPEN, Rule.IN_FORCE)}
        assert [row[1] for row in house.rows()] == ["taro@gmail.com", "ta.ro+x@gmail.com", "b@x.jp", None, None]
        assert (house.suppression.entries, house.reasons("taro@gmail.com", "ta.ro@gmail.com", "b@x.jp")) == before
        house.at("2026-05-17")
        assert house.purge().purged == 1
        assert house.forget("taro@gmail.com", withdraw=True).remaining[0].rule is Rule.UNSENT
        house.at("2026-06-01")
        assert house.forget("taro@gmail.com").erased == 1
        assert "taro" not in str(house.rows()) + str(house.rows("SELECT content FROM text WHERE content LIKE '%550%'"))

    living(tmp_path, test)


def test_what_was_forgotten_is_not_in_the_file_any_more(tmp_path: Path) -> None:
    async def test(house: House) -> None:
        house.tell(*(refusal(f"person{number}@x.jp") for number in range(50)))
        house.forget("person7@x.jp")
        house.purge()
        house.suppression.close()
        content = (house.folder / "ledger.sqlite").read_bytes()
        assert b"person8@x.jp" in content
        assert b"person7@x.jp" not in content

    async def closed(house: House) -> None:
        house.at("2026-04-12")
        await test(house)

    living(tmp_path, closed)


def test_the_index_built_anew_is_the_same(tmp_path: Path) -> None:
    addresses = [f"u{number}@gmail.com" for number in range(30)]

    async def test(house: House) -> None:
        house.tell(*(consent(address) for address in addresses))
        house.tell(*(refusal(address, "2026-02-01") for address in addresses[::2]))
        house.at("2026-06-01")
        for address in addresses[::3]:
            house.forget(address)
        assert house.purge().purged == 10, "five of the fifteen were forgotten before"
        (house.folder / "expected").write_text("\n".join(house.reasons(*addresses)))

    async def again(house: House) -> None:
        assert "\n".join(house.reasons(*addresses)) == (house.folder / "expected").read_text()

    living(tmp_path, test)
    (tmp_path / "ledger" / "index.snapshot").unlink()
    living(tmp_path, again)


def test_signups_of_the_forgotten_go_too(tmp_path: Path) -> None:
    async def test(house: House) -> None:
        _, wide = identity_of(house.suppression, "a@x.jp")

        @dataclass
        class SignedUp:
            recorded: int = 0

            def perform(self, writing: Writing) -> Sequence[Entry]:
                writing.database.execute(
                    "INSERT INTO signup (request, wide, exact, sender, at, recorded, topics, covers, record, address)"
                    " VALUES (x'00', ?1, ?1, 1, 0, 0, '[]', 1, '{}', 'a@x.jp')",
                    (wide,),
                )
                return ()

        house.tell(refusal("b@x.jp", "2026-02-01"))
        await house.suppression.perform(SignedUp())
        for place in (("", "a@x.jp"), ("shop", "")):
            house.hold("case 1", *place)
            house.forget("a@x.jp")
            house.hold("case 1", *place, release=True)
        house.settings = RetentionSettings(hold=("shop",))
        house.forget("a@x.jp")
        assert house.rows("SELECT address, record FROM signup") == [("a@x.jp", "{}")]
        house.settings = RetentionSettings()
        house.forget("a@x.jp")
        assert house.rows("SELECT address, record FROM signup") == [(None, "")]

    living(tmp_path, test)


def test_nonsense_is_refused_and_strangers_have_nothing(tmp_path: Path) -> None:
    async def test(house: House) -> None:
        with pytest.raises(EventError, match="address"):
            house.forget("nonsense")
        assert house.forget("a@x.jp") == Forgotten(0, 0, ())
        with Keeping(house.folder, house.sent, house.settings) as keeping:
            assert keeping.records([1]) == []

    living(tmp_path, test)
