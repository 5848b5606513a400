"""Dispatch in the whole flow: every way an attempt can end, opt-outs and cancels in every state, stop."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from engine.engine import Engine
from engine.mail.envelope import Priority
from engine.net.negotiate import Refused
from engine.smtp.event import Phase
from engine.spool.port import Outcome
from suppression import LedgerFailed
from tests.fakes.flow import HELD, LIMITS, REFUSED, TOO_MANY, Setting, World
from tests.fakes.virtual import virtually

SHORT = replace(LIMITS, mail_from_timeout=9.0, rcpt_to_timeout=9.0, data_timeout=9.0, data_dot_timeout=9.0)


def flowing(test: Callable[[World], Awaitable[None]], setting: Setting | None = None) -> None:
    async def main() -> None:
        world = World(setting or Setting(SHORT))
        world.start()
        await test(world)
        world.check()
        await world.end()

    virtually(main())


ENDS = [
    # local part, outcome, journal records, how often received
    ("plain", "delivered", ["Delivery"], 1),
    ("bounce-", "bounced", ["Bounce"], 0),
    ("dotfail-", "bounced", ["Bounce"], 0),
    ("defer-2-", "delivered", ["TransientFailure", "TransientFailure", "Delivery"], 1),
    ("dotdefer-1-", "delivered", ["TransientFailure", "Delivery"], 1),
    ("421-1-", "delivered", ["TransientFailure", "Delivery"], 1),
    ("dot421-1-", "delivered", ["TransientFailure", "Delivery"], 1),
    ("drop-rcpt-1-", "delivered", ["TransientFailure", "Delivery"], 1),
    ("drop-data-1-", "delivered", ["TransientFailure", "Delivery"], 1),
    ("drop-payload-1-", "delivered", ["TransientFailure", "Delivery"], 1),
    ("drop-dot-1-", "delivered", ["TransientFailure", "Delivery"], 2),
    ("stall-1-", "delivered", ["TransientFailure", "Delivery"], 1),
    ("stall-data-1-", "delivered", ["TransientFailure", "Delivery"], 1),
    ("stall-dot-1-", "delivered", ["TransientFailure", "Delivery"], 2),
]


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize(("local", "outcome", "records", "received"), ENDS)
def test_every_way_an_attempt_can_end(local: str, outcome: str, records: list[str], received: int, pipelining) -> None:
    async def test(world: World) -> None:
        site = world.site("d1")
        site.personality = replace(site.personality, pipelining=pipelining)
        first = await world.submit([f"{local}x@d1.example", "other@d1.example"])
        await world.settled()
        assert world.counts.outcomes[Outcome(outcome)] == 2 if outcome == "delivered" else 1
        assert world.records(first) == records
        got = Counter(site.received)
        assert (got[f"{local}x@d1.example"], got["other@d1.example"]) == (received, 1)
        own = [record for record in world.journal if record.recipient == f"{local}x@d1.example"]
        in_doubt = [record.in_doubt for record in own if record.type != "Delivery"]
        # A message that was cut off after its dot had left may have been taken, as far as we can know.
        unknown = received == 2 or local == "drop-payload-1-"
        assert sum(in_doubt) == world.status()["resent_in_doubt"] == unknown
        assert all(record.in_doubt == unknown for record in own if record.type == "Delivery")

    flowing(test)


def test_a_mailbox_that_does_not_exist_is_told_to_the_ledger() -> None:
    async def test(world: World) -> None:
        await world.submit(["bounce-1@d1.example", "dotfail-1@d1.example"])
        await world.settled()
        assert world.bounced == ["bounce-1@d1.example"]

    flowing(test)


def test_a_domain_without_a_route_waits_and_expires_without_an_attempt() -> None:
    async def test(world: World) -> None:
        first = await world.submit(["a@nowhere.example"], expires=600)
        await world.settled(700)
        assert world.records(first)[-1] == "Expiration"
        assert (world.outcome(Outcome.EXPIRED), world.counts.attempts) == (1, 0)

    flowing(test)


@pytest.mark.parametrize("refusal", [REFUSED, TOO_MANY])
def test_a_site_that_refuses_for_long_rests_ever_longer_and_delivers_when_it_is_back(refusal) -> None:
    async def test(world: World) -> None:
        site = world.site("d1")
        site.refusal = refusal
        await world.submit([f"r{n}@d1.example" for n in range(300)])
        await asyncio.sleep(4 * 3600)
        world.check()
        assert site.attempts < 60, "some dozens of tries in four hours"
        assert world.dispatch.paths["d1"].prepared == 0, "no letters that grow old"
        assert world.dispatch.paths["d1"].bind == "connection"
        site.refusal = None
        await world.settled(5 * 3600)
        assert world.outcome(Outcome.DELIVERED) == 300

    flowing(test)


def test_after_many_refusals_what_is_ready_is_deferred_with_an_attempt_each() -> None:
    async def test(world: World) -> None:
        world.site("d1").refusal = REFUSED
        first = await world.submit(["a@d1.example"], expires=3600)
        await world.settled(4000)
        records = world.records(first)
        assert records[-1] == "Expiration"
        assert 2 <= records.count("TransientFailure") <= 30
        failed = next(record for record in world.journal if record.type == "TransientFailure")
        assert (failed.response and failed.response.content, failed.num_attempts) == ("connection refused", 0)

    flowing(test, Setting(replace(SHORT, consecutive_connection_failures_before_delay=2)))


def test_mail_that_a_policy_of_tls_keeps_back_says_so_at_once_each_in_the_journal() -> None:
    """Not only the site's last error: whoever asks what became of a mail finds the reason in its own record."""
    policy = Refused(Phase.STARTTLS, None, "DANE: TLSA lookup failed: SERVFAIL", tls_failed=True)

    async def test(world: World) -> None:
        site = world.site("d1")
        site.refusal = policy
        await world.submit([f"r{n}@d1.example" for n in range(5)])
        await asyncio.sleep(3.0)
        assert site.attempts == 1, "by the first refusal"
        assert [record.type for record in world.journal] == ["TransientFailure"] * 5
        for record in world.journal:
            assert record.response is not None
            assert (record.response.content, record.response.command) == (policy.error, "STARTTLS")
        assert (world.status()["ready"], world.status()["in_flight"], world.status()["waiting"]) == (0, 0, 5)
        site.refusal = None
        await world.settled(7200)
        assert world.outcome(Outcome.DELIVERED) == 5

    flowing(test)


@pytest.mark.parametrize("local", ["421-", "dot421-"])
def test_letters_are_free_at_once_when_a_421_makes_their_site_rest(local: str) -> None:
    async def test(world: World) -> None:
        await world.submit([f"{local}{n}x@d1.example" for n in range(40)])
        path = None
        while path is None or not path.pool.paused_until:
            await asyncio.sleep(0.05)
            path = world.dispatch.paths.get("d1")
        assert path.pool.paused_until - world.clock() > 20.0
        await asyncio.sleep(1.0)
        assert (path.in_flight, path.prepared, world.status()["in_flight"]) == (0, 0, 0)

    flowing(test, Setting(replace(SHORT, retry_interval=60.0)))


def test_other_sites_do_not_notice() -> None:
    async def test(world: World) -> None:
        world.site("d1").refusal = REFUSED
        await world.submit([f"r{n}@d1.example" for n in range(3000)])
        await world.submit([f"stall-{n}@d2.example" for n in range(3000)])
        began = world.clock()
        await world.submit([f"r{n}@d3.example" for n in range(500)])
        await world.until(lambda: len(world.site("d3").received) == 500, 30)
        assert world.clock() - began < 10

    flowing(test)


# -- opt-outs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["waiting", "ready", "letter", "deferred"])
def test_an_opt_out_stops_mail_in_every_state_before_the_wire(state: str) -> None:
    async def test(world: World) -> None:
        site = world.site("d1")
        address = "defer-1-x@d1.example" if state == "deferred" else "x@d1.example"
        if state in {"ready", "letter"}:
            site.refusal = REFUSED
            site.rtt = 0.5 if state == "letter" else site.rtt
        first = await world.submit([address], not_before=60 if state == "waiting" else 0)
        await asyncio.sleep(0.5)
        path = world.dispatch.paths.get("d1")
        where = {"waiting": 0, "ready": len(path.ready) if path else 9, "letter": path.prepared if path else 9}
        assert where.get(state, 0) == (0 if state in {"waiting", "deferred"} else 1)
        world.suppression.opt_out(address)
        site.refusal = None
        await world.settled()
        assert site.received == []
        assert world.records(first)[-1] == "Suppressed"
        assert world.status()["suppressed_by_reason"] == {"OPTOUT_ALL": 1}

    flowing(test)


def test_a_recheck_is_asked_only_when_the_epoch_has_moved() -> None:
    async def test(world: World) -> None:
        await world.submit([f"r{n}@d1.example" for n in range(50)])
        await world.settled()
        assert (world.suppression.asked, world.counts.rechecked) == (50, 0)
        world.suppression.opt_out("somebody@else.example")
        await world.submit(["a@d1.example"])
        await world.settled()
        assert world.counts.rechecked == 0, "promote has asked at the new epoch"

    flowing(test)


def test_a_held_recipient_is_kept_also_when_it_is_held_at_the_last_moment() -> None:
    async def test(world: World) -> None:
        world.site("d1").refusal = REFUSED
        await world.submit(["x@d1.example"])
        await asyncio.sleep(1)
        world.suppression.opt_out("x@d1.example", HELD)
        world.site("d1").refusal = None
        await world.until(lambda: not world.roster and world.timeline.total() == 1, 30)
        assert (world.open, world.counts.deferrals) == (1, 0), "held, which no receiver has asked for"
        world.suppression.opt_out("x@d1.example", world.suppression.decide_one("", "", "", b"other"))
        await world.settled()
        assert world.outcome(Outcome.DELIVERED) == 1

    flowing(test)


def test_a_ledger_that_fails_stops_us_and_suppresses_nobody() -> None:
    async def main() -> None:
        world = World(Setting(SHORT))
        world.start()
        world.suppression.failure = "the disk is gone"
        world.suppression.opt_out("x@d1.example")
        await world.submit(["x@d1.example"])
        await asyncio.sleep(1)
        assert [type(fault) for fault in world.faults] == [LedgerFailed]
        assert world.outcome(Outcome.SUPPRESSED) == 0
        await world.end()

    virtually(main())


# -- priorities, limits ------------------------------------------------------------------------------------


def test_transactional_mail_overtakes_a_mailing_everywhere() -> None:
    async def test(world: World) -> None:
        await world.submit([f"r{n}@d1.example" for n in range(5000)])
        await asyncio.sleep(2.0)
        assert world.open > 3000
        began = world.clock()
        await world.submit(["now@d1.example"], priority=Priority.TRANSACTIONAL)
        await world.until(lambda: "now@d1.example" in world.site("d1").received, 5)
        assert world.clock() - began < 0.25
        assert True in world.signer.urgent

    flowing(test, Setting(replace(SHORT, connection_limit=2, max_ready=200)))


def test_domains_share_their_sites_path_but_those_with_limits_of_their_own() -> None:
    async def test(world: World) -> None:
        await world.submit([f"r@shared{n}.example" for n in (1, 2, 3)])
        await world.settled()
        paths = world.dispatch.paths
        assert sorted(paths) == ["shared", "shared for shared2.example"]
        own, common = paths["shared for shared2.example"], paths["shared"]
        assert (own.limits.connection_limit, common.limits.connection_limit) == (1, SHORT.connection_limit)
        assert (own.counts.delivered, common.counts.delivered) == (1, 2)

    flowing(test, Setting(SHORT, by_domain={"shared2.example": {"connection_limit": 1}}))


def test_idle_connections_end_after_their_time() -> None:
    async def test(world: World) -> None:
        await world.submit(["a@d1.example"])
        await world.settled()
        assert len(world.site("d1").wires) == 1
        await asyncio.sleep(SHORT.idle_timeout + 3)
        assert world.site("d1").wires == []
        assert world.dispatch.paths["d1"].pool.connections == set()

    flowing(test)


def test_a_session_that_stalls_does_not_hold_up_the_few_behind_it() -> None:
    async def test(world: World) -> None:
        await world.submit(["stall-dot-1-x@d1.example", *(f"r{n}@d1.example" for n in range(5))])
        await world.until(lambda: len(world.site("d1").received) >= 4, 5)
        assert len(world.site("d1").wires) == 2
        await asyncio.sleep(300)
        assert len(world.site("d1").wires) == 1, "one more, not one each second"

    flowing(test, Setting(replace(SHORT, data_dot_timeout=600.0, connection_limit=5)))


def test_a_kept_connection_that_the_site_has_closed_costs_no_attempt() -> None:
    async def test(world: World) -> None:
        await world.submit(["a@d1.example"])
        await world.settled()
        world.site("d1").hang_up()
        first = await world.submit(["b@d1.example"])
        await world.settled()
        assert world.records(first) == ["Delivery"]

    flowing(test)


def test_an_opener_that_raises_is_our_bug_and_told() -> None:
    async def main() -> None:
        world = World()
        world.start()

        async def broken(_path: object) -> None:
            raise RuntimeError("bug")

        world.dispatch._opener = broken  # type: ignore[assignment]
        await world.submit(["a@d1.example"])
        await asyncio.sleep(1)
        assert [str(fault) for fault in world.faults] == ["bug"]
        await world.end()

    virtually(main())


# -- stop --------------------------------------------------------------------------------------------------


def test_a_stop_ends_what_is_on_the_wire_and_hands_back_the_rest_without_doubt() -> None:
    async def test(world: World) -> None:
        for name in ("d0", "d1", "d2"):
            world.site(name).rtt = 0.05
        await world.submit([f"r{n}@d{n % 3}.example" for n in range(3000)])
        await asyncio.sleep(1.0)
        assert 1000 < world.open < 2900
        await world.stop()
        assert not world.core._intents & world.core.rows.keys()
        delivered = Counter(address for site in world.sites.values() for address in site.received)
        assert len(delivered) == sum(delivered.values()) == world.outcome(Outcome.DELIVERED)
        assert len(world.core.rows) == 3000 - len(delivered)
        assert not any(row.in_doubt or row.attempts for row in world.core.rows.values())

    flowing(test)


def test_nothing_new_begins_during_a_stop() -> None:
    """Not even on a path that nobody had heard of before."""

    async def test(world: World) -> None:
        await world.submit(["stall-1-x@d1.example"])
        await asyncio.sleep(1.0)
        stopping = asyncio.create_task(world.stop(60))
        await asyncio.sleep(1.0)
        await world.submit(["new@d2.example"])
        await stopping
        assert "d2" not in world.dispatch.paths
        assert not world.core._intents & world.core.rows.keys()

    flowing(test)


def test_after_a_fault_nothing_begins_any_more_also_on_paths_that_come_later() -> None:
    async def test(world: World) -> None:
        world.site("d1").rtt = 0.2
        await world.submit([f"r{n}@d1.example" for n in range(200)])
        await world.until(lambda: len(world.site("d1").received) > 5, 10)
        world.dispatch.halt()
        begun = world.counts.attempts
        world.dispatch.closing = False  # promote was in the middle of it
        await world.submit(["a@d2.example"])
        world.dispatch.closing = True
        await asyncio.sleep(100)
        assert (world.counts.attempts, world.site("d2").received) == (begun, [])

    flowing(test)


def test_a_stop_that_lasts_too_long_is_cut_and_says_what_is_in_doubt() -> None:
    async def test(world: World) -> None:
        await world.submit(["stall-dot-1-x@d1.example", "stall-1-y@d2.example"])
        await asyncio.sleep(1.0)
        await world.stop(2.0)
        doubts = {row.address: row.in_doubt for row in world.core.rows.values()}
        assert doubts == {"stall-dot-1-x@d1.example": True, "stall-1-y@d2.example": False}

    flowing(test)


def test_who_was_cancelled_does_not_survive_a_stop() -> None:
    async def test(world: World) -> None:
        world.signer.hold = []
        await world.submit(["a@d1.example", "b@d1.example"])
        await asyncio.sleep(0.5)
        await world.cancel_one("a@d1.example")
        stopping = asyncio.create_task(world.stop())
        await asyncio.sleep(0.1)
        world.signer.release()
        await stopping
        assert [row.address for row in world.core.rows.values()] == ["b@d1.example"]
        assert world.outcome(Outcome.CANCELLED) == 1

    flowing(test)


def test_the_stage_shows_what_an_engine_shows() -> None:
    """tests/fakes/flow.World stands in for Engine in observe.status."""

    async def test(world: World) -> None:
        for name in ("node", "clock", "counts", "roster", "timeline", "started_at"):
            assert hasattr(world, name)
        assert callable(Engine.credit)

    flowing(test)
