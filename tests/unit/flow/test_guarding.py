"""Guards in the whole flow: what unknown users, canaries, complaints and opt-outs stop, and how mail goes on after it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.flow import guardfile, guarding, watches
from engine.flow.canary import FORGET_SECONDS, HOLD_SECONDS, LONGEST_LOOK, QUIET_SECONDS, Canary
from engine.flow.guarded import TRIPS, guarded, guards_observed
from engine.flow.guarding import GUARD, Guarding
from engine.mail.envelope import Priority
from engine.policy.classify import Class
from engine.policy.directive import MOST_DIRECTIVES, Scope, Verb
from engine.policy.guard import GuardSettings, Passing, Verdict
from engine.policy.lot import Lots
from engine.policy.outcome import Kind
from engine.policy.shaping import Shaping, read_shaping
from engine.smtp.event import Phase
from engine.spool.port import Outcome
from suppression import Complaint, HardBounce, OptOut
from suppression import Scope as OptOutScope
from tests.fakes.flow import Setting, World
from tests.fakes.virtual import virtually

DAY = 86_400.0


def provided() -> Shaping:
    default = {"max_message_rate": "unlimited", "max_connection_rate": "unlimited", "retry_interval": "1m"}
    provider = {"carrier": {"match": [{"DomainSuffix": "d1.example"}]}}
    read = read_shaping({"default": default, "provider": provider})
    assert isinstance(read, Shaping), read
    return read


def guards(**words: Any) -> GuardSettings:
    return GuardSettings(**{"canary": 0, **words})


def flowing(test: Callable[[World], Awaitable[None]], guard: GuardSettings, **words: Any) -> None:
    async def main() -> None:
        world = World(Setting(guard=guard, shaping=provided(), **words))
        world.start()
        await test(world)
        world.check()
        await world.end()

    virtually(main())


def people(count: int, unknown: int = 0, *, domain: str = "d1.example", fault: str = "bounce") -> list[str]:
    """The unknown ones evenly among the others."""
    each = count // unknown if unknown else count + 1
    return [f"{f'{fault}-' if number % each == 0 else 'reader'}{number}@{domain}" for number in range(1, count + 1)]


def paused(world: World) -> list[Scope]:
    return [one.scope for one in world.guards.guarding.standing()]


async def ended(world: World, count: int) -> None:
    await world.until(lambda: sum(world.counts.outcomes.values()) >= count)


# -- unknown users -------------------------------------------------------------------------------------------------


def test_a_mailing_with_many_unknown_users_is_paused_and_says_why() -> None:
    async def test(world: World) -> None:
        await world.submit(people(2000, 100), mailing="old", category="AD")
        await world.until(lambda: bool(paused(world)))
        assert paused(world) == [Scope(sender="shop", mailing="old")]
        (order,) = world.guards.guarding.standing()
        assert "unknown users" in order.reason
        assert "carrier" in order.reason
        assert "4.5%" in order.reason
        await world.until(lambda: not world.roster)
        assert world.open > 1000
        assert world.guards.guarding.trips["unknown_pause"] == 1
        told = guarded(world.guards.guarding, world.guards.fitness)["guard"]
        assert told["paused"][0]["mailing"] == "old"
        assert told["watched"][0]["verdict"] == "pause"

    flowing(test, guards())


def test_other_mailings_of_the_sender_go_on() -> None:
    async def test(world: World) -> None:
        await world.submit(people(2000, 100), mailing="old", category="AD")
        await world.until(lambda: bool(paused(world)))
        await world.submit(people(300), mailing="good", category="AD")
        before = world.outcome(Outcome.DELIVERED)
        await world.until(lambda: world.outcome(Outcome.DELIVERED) >= before + 300)
        assert len(paused(world)) == 1

    flowing(test, guards())


def test_whoever_resumes_it_has_looked_and_counting_begins_anew() -> None:
    async def test(world: World) -> None:
        await world.submit(people(2000, 100), mailing="old", category="AD")
        await world.until(lambda: bool(paused(world)))
        await world.steering.resume(lambda one: one.by == GUARD)
        assert not paused(world)
        await world.until(lambda: bool(paused(world)))
        watch = world.guards.guarding.known.watches["shop", "old", "carrier"]
        assert 200 <= watch.tally.replies < 600
        assert world.guards.guarding.trips["unknown_pause"] == 2

    flowing(test, guards())


def test_a_list_of_which_a_tenth_is_unknown_is_locked() -> None:
    async def test(world: World) -> None:
        await world.submit(people(2000, 400), mailing="bought", category="AD")
        await world.until(lambda: bool(paused(world)))
        (order,) = world.guards.guarding.standing()
        assert "FICT_SUSPECT" in order.reason
        assert world.guards.guarding.trips["unknown_abort"] == 1
        assert not world.guards.guarding.trips["unknown_pause"]

    flowing(test, guards())


def test_what_was_on_the_wire_turns_a_pause_into_a_lock() -> None:
    async def test(world: World) -> None:
        await world.submit(people(1000, 60), mailing="old", category="AD")
        await world.until(lambda: bool(paused(world)))
        (path,) = world.dispatch.paths.values()
        batch = SimpleNamespace(id=-1, sender="shop", mailing="old", category="AD", priority=Priority.BULK)
        late = SimpleNamespace(id=-1, batch=batch)
        ruling = SimpleNamespace(kind=Kind.BOUNCED, bounce_class=Class.UNKNOWN_USER)
        for _ in range(40):
            world.guards.guarding.refused(path, late, ruling, Phase.RCPT)  # type: ignore[arg-type]
        assert world.guards.guarding.trips == {"unknown_pause": 1, "unknown_abort": 1}
        assert paused(world) == [Scope(sender="shop", mailing="old")], "one order in place of the other"
        assert "FICT_SUSPECT" in world.guards.guarding.standing()[0].reason

    flowing(test, guards())


def test_a_few_unknown_users_halve_the_connections_for_an_hour() -> None:
    async def test(world: World) -> None:
        await world.submit(people(1000, 25), mailing="m", category="AD")
        await world.settled()
        (path,) = world.dispatch.paths.values()
        assert path.brake.value("connection_limit") == path.limits.connection_limit / 2
        assert not paused(world)
        assert world.guards.guarding.trips == {"unknown_warn": 1}
        assert world.guards.guarding.known.watches["shop", "m", "carrier"].tally.verdict is Verdict.WARN

    flowing(test, guards())


def test_what_is_refused_behind_the_dot_is_no_unknown_user() -> None:
    async def test(world: World) -> None:
        await world.submit(people(400, 100, fault="dot550"), mailing="m", category="AD")
        await world.settled()
        assert not world.guards.guarding.trips
        watch = world.guards.guarding.known.watches["shop", "m", "carrier"]
        assert (watch.tally.replies, watch.tally.unknown) == (400, 0)

    flowing(test, guards())


def test_a_deferral_is_no_reply_to_count() -> None:
    async def test(world: World) -> None:
        await world.submit(people(100, 50, fault="defer-1"), mailing="m", category="AD")
        await world.settled()
        assert world.guards.guarding.known.watches["shop", "m", "carrier"].tally.replies == 100

    flowing(test, guards())


def test_single_mails_are_not_watched() -> None:
    async def test(world: World) -> None:
        await world.submit(people(400, 200), mailing="", category="TX", priority=Priority.TRANSACTIONAL)
        await world.settled()
        assert not world.guards.guarding.known.watches

    flowing(test, guards())


def test_a_mailing_without_a_name_pauses_the_sender_at_that_provider() -> None:
    async def test(world: World) -> None:
        await world.submit(people(1000, 100), mailing="", category="AD")
        await world.until(lambda: bool(paused(world)))
        assert paused(world) == [Scope(sender="shop", provider="carrier")]

    flowing(test, guards())


def test_small_sites_count_together() -> None:
    async def test(world: World) -> None:
        addresses = [address for n in range(2, 12) for address in people(40, 8, domain=f"d{n}.example")]
        await world.submit(addresses, mailing="m", category="AD")
        await world.until(lambda: bool(paused(world)))
        assert [key[2] for key in world.guards.guarding.known.watches] == ["other"]

    flowing(test, guards())


def test_guards_that_are_switched_off_do_nothing() -> None:
    async def test(world: World) -> None:
        await world.submit(people(500, 250), mailing="m", category="AD")
        await world.settled()
        world.guards.guarding.told(Complaint("a@d1.example", world.clock(), "arf", "shop", ""))
        assert not world.guards.guarding.known.watches
        assert not world.guards.guarding.known.dailies

    flowing(test, guards(enabled=False))


def test_when_too_many_orders_stand_it_is_said(caplog: pytest.LogCaptureFixture) -> None:
    async def test(world: World) -> None:
        for number in range(MOST_DIRECTIVES):
            world.steering.put(Verb.SUSPEND, Scope(mailing=f"m{number}"), None, "", by="operator")
        caplog.set_level(logging.ERROR)
        await world.submit(people(400, 100), mailing="old", category="AD")
        await world.settled()
        assert "too many directives" in caplog.text

    flowing(test, guards())


def test_a_reload_judges_what_was_counted_by_the_new_shares() -> None:
    async def test(world: World) -> None:
        await world.submit(people(300, 20), mailing="m", category="AD")
        await world.settled()
        assert not paused(world)
        world.guards.guarding.adopt(guards(unknown_sample=100, unknown_pause=0.05))
        world.guards.guarding.adopt(guards(unknown_sample=100, unknown_pause=0.05))
        await world.submit(people(10, 5), mailing="m", category="AD")
        await world.until(lambda: paused(world) == [Scope(sender="shop", mailing="m")])
        world.guards.guarding.adopt(guards(enabled=False))
        assert paused(world), "what is paused stays so"
        world.guards.guarding.told(Complaint("a@d1.example", world.clock(), "arf", "shop", ""))
        assert not any(daily.complaints for daily in world.guards.guarding.known.dailies.values())

    flowing(test, guards(unknown_sample=1000))


def test_without_a_canary_after_a_reload_who_waits_for_it_goes() -> None:
    async def test(world: World) -> None:
        world.site("d1").rtt = 2.0
        await world.submit(people(1500), mailing="m", category="AD")
        await world.until(lambda: bool(world.guards.guarding.screen.held))
        before = world.clock()
        world.guards.guarding.adopt(guards())
        world.promote.screen = None
        assert not world.guards.guarding.has_canary
        await ended(world, 1500)
        assert world.clock() - before < HOLD_SECONDS

    flowing(test, guards(canary=50))


# -- the canary ----------------------------------------------------------------------------------------------------


def test_a_sample_of_the_never_mailed_goes_first_and_the_rest_when_it_has_passed() -> None:
    async def test(world: World) -> None:
        world.site("d1").rtt = 2.0
        await world.submit(people(1500), mailing="m", category="AD")
        await world.until(lambda: world.outcome(Outcome.DELIVERED) > 0)
        watch = world.guards.guarding.known.watches["shop", "m", "carrier"]
        assert watch.canary is not None
        assert watch.canary.replies + len(watch.canary.out) <= 300
        assert world.guards.guarding.screen.held > 0
        began = world.clock()
        await world.settled()
        assert watch.canary.passing is Passing.GOOD
        assert world.outcome(Outcome.DELIVERED) == 1500
        assert world.clock() - began < HOLD_SECONDS, "who waited was released, and did not wait for its time"

    flowing(test, guards(canary=300))


def test_the_sample_is_drawn_from_the_whole_list_and_not_its_beginning() -> None:
    """A list whose first half is good and whose second half is invented: whoever takes the first hundred sees nothing."""

    async def test(world: World) -> None:
        world.site("d1").rtt = 1.0
        good = [f"reader{number}@d1.example" for number in range(1000)]
        invented = [f"bounce-{number}@d1.example" for number in range(1000)]
        await world.submit(good + invented, mailing="sorted", category="AD")
        await world.until(lambda: bool(paused(world)), 120.0)
        assert world.guards.guarding.trips["canary"] == 1
        ends = {record.recipient for record in world.journal}
        assert 0 < len(ends) <= 200
        assert any("bounce" in one for one in ends)
        assert any("reader" in one for one in ends)

    flowing(test, guards(canary=200, unknown_sample=100_000))


def test_who_is_drawn_is_the_same_after_a_restart_and_another_under_another_secret() -> None:
    lots, others = Lots(b"s" * 32), Lots(b"t" * 32)
    drawn = {number for number in range(10_000) if lots.lot(number) < 0.05}
    assert drawn == {number for number in range(10_000) if Lots(b"s" * 32).lot(number) < 0.05}
    assert drawn != {number for number in range(10_000) if others.lot(number) < 0.05}


def test_a_provider_with_few_of_a_large_mailing_gets_its_sample_soon() -> None:
    async def test(world: World) -> None:
        world.site("d1").rtt = world.site("d2").rtt = 0.5
        many, few = people(3000), people(150, domain="d2.example")
        await world.submit(many + few, mailing="m", category="AD")
        await world.until(lambda: len(world.site("d2").received) >= 100, 30.0)
        await world.settled()
        canaries = {key[2]: watch.canary for key, watch in world.guards.guarding.known.watches.items()}
        assert all(canary is not None and canary.passing is Passing.GOOD for canary in canaries.values())

    flowing(test, guards(canary=100))


def test_a_small_mailing_is_its_own_sample_and_nobody_waits() -> None:
    async def test(world: World) -> None:
        await world.submit(people(80), mailing="m", category="AD")
        await world.until(lambda: world.outcome(Outcome.DELIVERED) == 80, 2.0)
        assert not world.guards.guarding.screen.held

    flowing(test, guards(canary=100))


def test_a_mailing_that_goes_on_coming_in_is_drawn_from_after_a_while() -> None:
    canary = Canary(0.0)
    canary.held, canary.known = {1}, 1000
    for second in range(int(LONGEST_LOOK)):
        canary.looked = float(second)
        assert not canary.falls_short(100, second + 0.9)
    canary.looked = LONGEST_LOOK
    assert canary.falls_short(100, LONGEST_LOOK)
    canary.widen(100, LONGEST_LOOK)
    assert canary.share == 0.125
    assert not canary.falls_short(100, LONGEST_LOOK + QUIET_SECONDS - 0.1)
    assert canary.falls_short(100, LONGEST_LOOK + QUIET_SECONDS)
    canary.widen(100, LONGEST_LOOK + QUIET_SECONDS)
    assert canary.share == 0.25


def test_a_sample_that_gives_no_answer_is_replaced_though_nobody_asks() -> None:
    canary = Canary(0.0, share=0.1)
    canary.held, canary.known = {1}, 1000
    for number in range(3):
        canary.take(number, 10.0, 3)
    assert not canary.falls_short(3, 10.0 + FORGET_SECONDS - 1)
    assert canary.falls_short(3, 10.0 + FORGET_SECONDS)
    assert not canary.out


def test_a_bad_canary_pauses_the_mailing_before_the_rest_has_left() -> None:
    async def test(world: World) -> None:
        await world.submit(people(3000, 600), mailing="bought", category="AD")
        await world.until(lambda: bool(paused(world)))
        await world.until(lambda: not world.roster)
        assert world.guards.guarding.trips["canary"] == 1
        assert sum(world.counts.outcomes.values()) <= 200
        assert paused(world) == [Scope(sender="shop", mailing="bought")]
        await world.steering.resume(lambda one: one.by == GUARD)
        await world.until(lambda: sum(world.counts.outcomes.values()) >= 400)

    flowing(test, guards(canary=200, unknown_sample=100_000))


def test_who_was_mailed_before_does_not_wait_for_the_canary() -> None:
    async def test(world: World) -> None:
        known = people(200)
        for address in known:
            world.sent.noted["shop", False, address.encode()] = 1
        world.site("d1").rtt = 30.0
        fresh = [f"new{number}@d1.example" for number in range(300)]
        await world.submit(fresh + known, mailing="m", category="AD")
        await world.until(lambda: len(world.site("d1").received) >= 230)
        assert sum("new" in address for address in world.site("d1").received) <= 100
        await world.settled(7200.0)

    flowing(test, guards(canary=100))


def test_other_mail_has_no_canary() -> None:
    async def test(world: World) -> None:
        world.site("d1").rtt = 5.0
        await world.submit(people(500), mailing="m", category="TX")
        await world.settled()
        assert not world.guards.guarding.screen.held
        assert world.guards.guarding.known.watches["shop", "m", "carrier"].canary is None

    flowing(test, guards(canary=20))


def test_a_sample_that_gives_no_answer_is_replaced() -> None:
    canary = Canary(0.0)
    assert all(canary.take(number, 10.0, 3) for number in range(3))
    assert canary.take(1, 10.0, 3), "it is one of them already"
    assert not canary.take(4, 10.0 + FORGET_SECONDS - 1, 3)
    assert canary.take(4, 10.0 + FORGET_SECONDS, 3)
    assert canary.out == {4}


def test_replies_of_others_and_after_the_verdict_do_not_count() -> None:
    canary = Canary(0.0)
    canary.take(1, 0.0, 3)
    assert canary.note(2, GuardSettings(), unknown=True) is Passing.OPEN
    assert (canary.replies, canary.unknown) == (0, 0)
    canary.passing = Passing.GOOD
    assert canary.note(1, GuardSettings(), unknown=True) is Passing.OPEN


# -- complaints and opt-outs ---------------------------------------------------------------------------------------


def complain(world: World, count: int, domain: str = "d1.example", first: int = 0) -> None:
    for number in range(first, first + count):
        world.guards.guarding.told(Complaint(f"x{number}@{domain}", world.clock(), "arf", "shop", ""))


def test_complaints_warn_at_one_and_pause_at_three_in_a_thousand() -> None:
    async def test(world: World) -> None:
        await world.submit(people(1000), mailing="m", category="AD")
        await world.settled()
        complain(world, 2)
        assert not world.guards.guarding.trips
        complain(world, 1, first=2)
        assert world.guards.guarding.trips == {"complaint_pause": 1}
        assert paused(world) == [Scope(provider="carrier", sender="shop")]
        complain(world, 10, first=3)
        assert world.guards.guarding.trips == {"complaint_pause": 1}
        told = guarded(world.guards.guarding, world.guards.fitness)["guard"]["complaints"]
        assert told == [
            {"sender": "shop", "provider": "carrier", "delivered": 1000, "complaints": 13, "verdict": "pause"}
        ]

    flowing(test, guards())


@pytest.mark.parametrize("event", [Complaint, OptOut])
def test_one_person_alone_pauses_nobody_however_often_he_says_it(
    event: type[Complaint | OptOut], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has one mail of ours can send its report again and again; it is proved each time."""
    monkeypatch.setattr(guarding, "MOST_HEARD", 50)

    async def test(world: World) -> None:
        told = world.guards.guarding.told

        def say(address: str) -> None:
            told(
                Complaint(address, world.clock(), "arf", "shop", "")
                if event is Complaint
                else OptOut(address, world.clock(), "web", OptOutScope.SENDER, "shop")
            )

        await world.submit(people(1000), mailing="m", category="AD")
        await world.settled()
        for number in range(100):
            say("Me@d1.example" if number % 2 else "me@d1.example")
        assert not world.guards.guarding.trips
        for number in range(60):  # more than are remembered: then counting is too strict, not too lax
            say(f"x{number}@d1.example")
        assert sum(world.guards.guarding.trips.values()) >= 1
        assert paused(world)

    flowing(test, guards())


def test_a_person_counts_again_on_another_day() -> None:
    async def test(world: World) -> None:
        await world.submit(people(1000), mailing="m", category="AD")
        await world.settled()
        complain(world, 2)
        await asyncio.sleep(DAY)
        complain(world, 2)
        (daily,) = world.guards.guarding.known.dailies.values()
        assert (daily.complaints, daily.before) == (2, 1000)

    flowing(test, guards())


@pytest.mark.parametrize("domain", ["d1.example", "d2.example"])
def test_after_a_resume_complaints_are_counted_anew_and_pause_again(domain: str) -> None:
    """Also at nobody's domain, where it is the mailings that are paused."""

    async def test(world: World) -> None:
        await world.submit(people(1000, domain=domain), mailing="m", category="AD")
        await world.settled()
        complain(world, 3, domain)
        (first,) = paused(world)
        await world.steering.resume(lambda one: one.by == GUARD)
        complain(world, 2, domain, first=10)
        assert not paused(world), "late reports of what was sent before are no storm"
        complain(world, 1, domain, first=20)
        assert paused(world) == [first]
        assert world.guards.guarding.trips == {"complaint_pause": 2}
        (told,) = guarded(world.guards.guarding, world.guards.fitness)["guard"]["complaints"]
        assert (told["delivered"], told["complaints"]) == (1000, 3)

    flowing(test, guards())


def test_a_warning_alone_pauses_nothing() -> None:
    async def test(world: World) -> None:
        await world.submit(people(3000), mailing="m", category="AD")
        await world.settled()
        complain(world, 3)
        assert world.guards.guarding.trips == {"complaint_warn": 1}
        assert not paused(world)

    flowing(test, guards())


def test_complaints_from_nobody_s_domain_pause_the_mailings() -> None:
    async def test(world: World) -> None:
        await world.submit(people(1000, domain="d2.example"), mailing="m", category="AD")
        await world.settled()
        complain(world, 3, "d2.example")
        assert paused(world) == [Scope(sender="shop", mailing="m")]

    flowing(test, guards())


def test_a_wave_of_opt_outs_pauses_what_is_under_way() -> None:
    async def test(world: World) -> None:
        await world.submit(people(1000), mailing="m", category="AD")
        await world.submit(people(10), mailing="n", category="AD")
        await world.settled()

        def refused(first: int, behind: int) -> None:
            for number in range(first, behind):
                event = OptOut(f"x{number}@d1.example", world.clock(), "web", OptOutScope.SENDER, "shop")
                world.guards.guarding.told(event)

        refused(0, 21)
        assert {scope.mailing for scope in paused(world)} == {"m", "n"}
        assert world.guards.guarding.trips == {"optout": 1}
        orders = list(world.steering.directives)
        refused(21, 200)
        assert list(world.steering.directives) == orders, "they had their mail before: nothing is paused over again"
        assert world.guards.guarding.trips == {"optout": 1}
        world.steering.withdraw(lambda one: one.scope.mailing == "m")
        refused(200, 300)
        assert world.guards.guarding.trips == {"optout": 2}, "what goes on again is paused again"

    flowing(test, guards())


def test_events_about_no_sender_are_nobody_s() -> None:
    async def test(world: World) -> None:
        world.guards.guarding.told(OptOut("x@d1.example", world.clock(), "web", OptOutScope.GLOBAL))
        world.guards.guarding.told(HardBounce("x@d1.example", world.clock(), "smtp"))
        assert not world.guards.guarding.known.dailies

    flowing(test, guards())


# -- over a restart ------------------------------------------------------------------------------------------------


def kept(file: Path, clock: Callable[[], float], world: World) -> Guarding:
    return Guarding(
        guards(canary=50), world.steering, world._newcomers, file=file, provider_of=lambda _domain: "carrier",
        put_back=world.dispatch.put_back, accepted=world._accepted, secret=b"s" * 32, clock=clock,
    )  # fmt: skip


def test_counts_and_canaries_survive_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[guardfile.Kept] = []

    async def write(_file: Path | None, found: guardfile.Kept) -> None:
        written.append(found)

    async def test(world: World) -> None:
        monkeypatch.setattr(guarding, "write_kept", write)  # virtual time knows no threads
        await world.submit(people(300, 3), mailing="m", category="AD")
        await world.settled()
        complain(world, 1)
        await world.guards.guarding.close()
        file = tmp_path / "guards.json"
        guardfile.replace_whole(file, guardfile.msgspec.json.encode(written[-1]))
        again = kept(file, world.clock, world)
        watch = again.known.watches["shop", "m", "carrier"]
        assert (watch.tally.replies, watch.tally.unknown) == (300, 3)
        assert watch.canary is not None
        assert watch.canary.passing is Passing.GOOD
        assert again.known.dailies["shop", "carrier"].delivered == 297
        assert again.known.dailies["shop", "carrier"].complaints == 1
        assert watch.canary.share > 0.3, "who was drawn is drawn again"
        assert watch.daily is again.known.dailies["shop", "carrier"]
        count = len(written)
        await again.tick()
        assert len(written) == count, "nothing new, nothing written"

    flowing(test, guards(canary=100))


def test_a_file_that_cannot_be_read_is_said_and_counting_begins_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "guards.json"
    file.write_text('{"watches": [{"sender": 1}]}')
    assert guardfile.read_kept(file) == guardfile.Kept()
    assert "counting begins anew" in caplog.text
    assert guardfile.read_kept(tmp_path / "none.json") == guardfile.Kept()


def test_old_mailings_are_forgotten_and_a_full_disk_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_file: Path | None, _found: guardfile.Kept) -> None:
        raise OSError(28, "No space left on device")

    async def test(world: World) -> None:
        monkeypatch.setattr(guarding, "write_kept", fail)
        await world.submit(people(10), mailing="m", category="AD")
        await world.settled()
        await world.guards.guarding.tick()
        assert "free disk space" in caplog.text
        watch = world.guards.guarding.known.watches["shop", "m", "carrier"]
        watch.touched -= 8 * DAY
        await world.guards.guarding.tick()
        assert not world.guards.guarding.known.watches

    flowing(test, guards())


def test_mailings_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "MOST_WATCHED", 10)

    async def test(world: World) -> None:
        for number in range(25):
            await world.submit([f"a{number}@d1.example"], mailing=f"m{number}", category="AD")
            await world.settled()
        assert len(world.guards.guarding.known.watches) <= 10
        assert ("shop", "m24", "carrier") in world.guards.guarding.known.watches

    flowing(test, guards())


def test_what_metrics_show() -> None:
    async def test(world: World) -> None:
        await world.submit(people(1000, 100), mailing="m", category="AD")
        await world.until(lambda: bool(paused(world)))
        found = guards_observed(world.guards.guarding, world.guards.fitness)
        assert found["guard_paused"] == 1
        assert found["guard_trips"].keys() == set(TRIPS)
        assert sum(found["guard_trips"].values()) == sum(world.guards.guarding.trips.values())
        assert found["preflight_senders"] == dict.fromkeys(("ok", "note", "warn", "remove", "unknown", "refuse"), 0)

    flowing(test, guards())
