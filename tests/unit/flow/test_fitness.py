"""The preflight as a gate: who waits, who is refused, who goes, and what a restart knows of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from engine.flow.fitness import AGAIN_SECONDS, PREFLIGHT, UNVERIFIED, Fitness, PreflightSettings
from engine.flow.steering import Steering
from engine.policy.directive import MOST_DIRECTIVES, Scope, Verb
from engine.policy.readiness import Finding, Level, Report

ENFORCE = PreflightSettings("enforce")


class Gate:
    def __init__(self, folder: Path, settings: PreflightSettings = ENFORCE, fingerprint: str = "f1") -> None:
        self.now = 1_000_000.0
        self.level = Level.OK
        self.looks = 0
        self.code = "dkim.missing"
        self.identity: dict[str, str] = {}
        self.steering = Steering(clock=self.clock)
        self.file = folder / "preflight.json"
        self.fitness = Fitness(
            settings, {"shop": fingerprint}, self.check, steering=self.steering, establish=self.identity.__setitem__,
            file=self.file, clock=self.clock,
        )  # fmt: skip
        self.fitness.begin()

    def clock(self) -> float:
        return self.now

    async def check(self, sender: str) -> Report:
        self.looks += 1
        finding = Finding(self.code, self.level, "s._domainkey.a.example", "", ("a record",))
        return Report(sender, self.now, (finding,))

    async def look(self, level: Level) -> tuple[str | None, bool]:
        self.level = level
        await self.fitness.look("shop")
        return self.standing

    @property
    def standing(self) -> tuple[str | None, bool]:
        """Why it is refused, and whether it waits."""
        held = [one for one in self.steering.directives.values() if one.by == PREFLIGHT]
        assert all(one.scope == Scope(sender="shop") for one in held)
        return self.identity.get("shop"), bool(held)


def running(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


def test_a_sender_that_nobody_has_looked_at_waits_and_goes_when_it_is_fit(tmp_path: Path) -> None:
    async def test() -> None:
        gate = Gate(tmp_path)
        assert gate.standing == (None, True)
        assert await gate.look(Level.UNKNOWN) == (None, True), "DNS did not answer: nothing changes"
        assert await gate.look(Level.WARN) == ("", False)

    running(test)


def test_a_sender_that_is_not_fit_is_refused_until_it_is(tmp_path: Path) -> None:
    async def test() -> None:
        gate = Gate(tmp_path)
        assert await gate.look(Level.REFUSE) == (UNVERIFIED, False)
        assert await gate.look(Level.UNKNOWN) == (UNVERIFIED, False)
        assert await gate.look(Level.OK) == ("", False)

    running(test)


def test_a_sender_that_was_fit_waits_for_a_second_look(tmp_path: Path) -> None:
    async def test() -> None:
        gate = Gate(tmp_path)
        await gate.look(Level.OK)
        assert await gate.look(Level.UNKNOWN) == ("", False)
        assert await gate.look(Level.REFUSE) == ("", True), "its mail waits"
        assert await gate.look(Level.OK) == ("", False), "DNS had a bad minute"
        await gate.look(Level.REFUSE)
        assert await gate.look(Level.REFUSE) == (UNVERIFIED, False)

    running(test)


def test_a_restart_knows_the_result_but_not_another_key_s(tmp_path: Path) -> None:
    async def test() -> None:
        await Gate(tmp_path).look(Level.OK)
        assert Gate(tmp_path).standing == ("", False)
        assert Gate(tmp_path, fingerprint="f2").standing == (None, True)

    running(test)


def test_a_refusal_survives_a_restart(tmp_path: Path) -> None:
    async def test() -> None:
        await Gate(tmp_path).look(Level.REFUSE)
        assert Gate(tmp_path).standing == (UNVERIFIED, False)

    running(test)


def test_warnings_only_are_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        gate = Gate(tmp_path, PreflightSettings("warn"))
        for _ in range(3):
            assert await gate.look(Level.REFUSE) == (None, False)
        assert caplog.text.count("dkim.missing") == 1
        assert "publish a record" in caplog.text

    running(test)


def test_another_mode_lets_go_who_waited(tmp_path: Path) -> None:
    async def test() -> None:
        gate = Gate(tmp_path)
        assert gate.standing[1]
        again = Fitness(
            PreflightSettings("off"), {"shop": "f1"}, gate.check, steering=gate.steering,
            establish=gate.identity.__setitem__, file=gate.file, clock=gate.clock,
        )  # fmt: skip
        again.begin()
        assert gate.standing == (None, False)
        work = asyncio.create_task(again.run())
        await asyncio.sleep(0.01)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        assert not gate.looks

    running(test)


def test_without_room_for_an_order_it_is_refused(tmp_path: Path) -> None:
    async def test() -> None:
        gate = Gate(tmp_path)
        await gate.look(Level.OK)
        for number in range(MOST_DIRECTIVES):
            gate.steering.put(Verb.SUSPEND, Scope(mailing=f"m{number}"), None, "", by="operator")
        assert await gate.look(Level.REFUSE) == (UNVERIFIED, False)

    running(test)


def test_it_looks_at_once_and_again_when_it_is_time(tmp_path: Path) -> None:
    async def test() -> None:
        gate = Gate(tmp_path)
        work = asyncio.create_task(gate.fitness.run())
        async with asyncio.timeout(10):
            while not gate.looks:
                await asyncio.sleep(0)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        assert gate.looks == 1
        due = gate.fitness._due
        assert due("shop") == gate.now + ENFORCE.max_age
        for level in (Level.UNKNOWN, Level.REFUSE):
            await gate.look(level)
            assert due("shop") == gate.now + AGAIN_SECONDS[level]

    running(test)


def test_a_damaged_file_means_looking_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "preflight.json").write_text("[]")
    assert Gate(tmp_path).standing == (None, True)
    assert "cannot be read" in caplog.text


def test_a_full_disk_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        gate = Gate(tmp_path / "not there")
        assert await gate.look(Level.OK) == ("", False)
        assert "free disk space" in caplog.text

    running(test)


@pytest.mark.parametrize("words", [{"mode": "strict"}, {"addresses": ("out1.example.jp",)}])
def test_settings_are_checked(words) -> None:
    with pytest.raises(ValueError, match="write"):
        PreflightSettings(**words)


def test_after_a_reload_a_sender_with_another_key_waits_for_a_look_of_its_own(tmp_path: Path) -> None:
    async def test() -> None:
        gate = Gate(tmp_path)
        assert await gate.look(Level.OK) == ("", False)
        gate.fitness.adopt(ENFORCE, {"shop": "f1"})
        assert gate.standing == ("", False)
        gate.fitness.adopt(ENFORCE, {"shop": "f2"})
        assert gate.standing == ("", True)
        assert await gate.look(Level.OK) == ("", False)

    running(test)


def test_a_reload_changes_the_mode_at_once(tmp_path: Path) -> None:
    async def test() -> None:
        gate = Gate(tmp_path, PreflightSettings("off"))
        work = asyncio.create_task(gate.fitness.run())
        await asyncio.sleep(0)
        assert (gate.standing, gate.looks) == ((None, False), 0)
        gate.fitness.adopt(ENFORCE, {"shop": "f1"})
        assert gate.standing == (None, True), "held until somebody has looked"
        async with asyncio.timeout(10):
            while gate.standing != ("", False):
                await asyncio.sleep(0)
        assert gate.looks == 1
        gate.fitness.adopt(PreflightSettings("off"), {"shop": "f2"})
        await asyncio.sleep(0.01)
        assert (gate.standing, gate.looks) == (("", False), 1)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    running(test)


def test_a_look_that_a_reload_overtook_does_not_count(tmp_path: Path) -> None:
    async def test() -> None:
        gate = Gate(tmp_path)
        check = gate.fitness._check

        async def overtaken(sender: str) -> Report:
            gate.fitness.adopt(ENFORCE, {"shop": "f2"})
            return await check(sender)

        gate.fitness._check = overtaken
        assert await gate.look(Level.OK) == (None, True)
        assert not gate.fitness.standings

    running(test)


def test_what_carriers_alone_would_refuse_waits_for_them_alone(tmp_path: Path) -> None:
    """docomo and au read the From domain's SPF, too: mail to them waits, the others get theirs."""

    async def test() -> None:
        gate = Gate(tmp_path)
        gate.code = "spf.from.none"
        for level, carriers in ((Level.WARN, {"docomo", "au"}), (Level.UNKNOWN, {"docomo", "au"}), (Level.OK, set())):
            gate.level = level
            await gate.fitness.look("shop")
            held = {one.scope for one in gate.steering.directives.values() if one.by == PREFLIGHT}
            assert held == {Scope(provider=name, sender="shop") for name in carriers}
            assert gate.identity == {"shop": ""}

    running(test)


def test_a_stop_in_the_moment_of_a_reload_is_heeded(tmp_path: Path) -> None:
    async def test() -> None:
        gate = Gate(tmp_path, PreflightSettings("off"))
        work = asyncio.create_task(gate.fitness.run())
        await asyncio.sleep(0.01)
        gate.fitness.adopt(PreflightSettings("off"), {"shop": "f2"})
        await asyncio.sleep(0)
        work.cancel()
        async with asyncio.timeout(5):
            await asyncio.gather(work, return_exceptions=True)
        assert work.cancelled()

    running(test)


@pytest.mark.parametrize("mode", ["law", "enforce"])
def test_the_default_refuses_and_warns_by_each_finding(tmp_path: Path, mode: str) -> None:
    async def test() -> None:
        gate = Gate(tmp_path, PreflightSettings(mode))
        assert gate.standing == (None, True)
        assert await gate.look(Level.WARN) == ("", False)
        gate.fitness.standings.clear()
        assert await gate.look(Level.REFUSE) == (UNVERIFIED, False)

    running(test)
    assert PreflightSettings().mode == "law"


def test_blocklists_are_zones() -> None:
    assert PreflightSettings(blocklists=("zen.spamhaus.org",)).blocklists
    for wrong in (("nodots",), ("a b.example",), ("UPPER.example",), ("x" * 190 + ".example",), ("a.example",) * 9):
        with pytest.raises(ValueError, match="write at most 8 DNS zones"):
            PreflightSettings(blocklists=wrong)


class Sourced(Gate):
    """A sender with two sources, whose findings the test names."""

    def __init__(self, folder: Path, settings: PreflightSettings = ENFORCE) -> None:
        self.out: dict[str, list[str]] = {}
        self.findings: dict[str, Level] = {}
        super().__init__(folder)
        self.fitness = Fitness(
            settings, {"shop": "f1"}, self.check, steering=self.steering, establish=self.identity.__setitem__,
            take_out=self.take_out, file=self.file, clock=self.clock,
        )  # fmt: skip
        self.fitness.begin()

    def take_out(self, sender: str, sources: Sequence[str]) -> bool:
        if {"a", "b"}.issubset(sources):
            return False
        self.out[sender] = list(sources)
        return True

    async def check(self, sender: str) -> Report:
        findings = (Finding("ptr.missing", level, "", source=name) for name, level in self.findings.items())
        return Report(sender, self.now, tuple(findings))

    async def find(self, **findings: Level) -> tuple[list[str], tuple[str | None, bool]]:
        self.findings = findings
        await self.fitness.look("shop")
        return self.out["shop"], self.standing


def test_a_source_is_taken_out_and_comes_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING")

    async def test() -> None:
        gate = Sourced(tmp_path)
        assert await gate.find(a=Level.REMOVE, b=Level.OK) == (["a"], ("", False))
        assert "source a is not in order" in caplog.text
        assert gate.fitness._due("shop") == gate.now + 900.0, "looked at again soon"
        assert await gate.find(a=Level.UNKNOWN, b=Level.OK) == (["a"], ("", False))
        assert Sourced(tmp_path).out == {"shop": ["a"]}, "a restart knows it"
        assert await gate.find(a=Level.OK, b=Level.OK) == ([], ("", False))
        assert "source a is in order" in caplog.text

    running(test)


def test_a_sender_of_whose_sources_none_is_known_to_be_in_order_waits(tmp_path: Path) -> None:
    async def test() -> None:
        gate = Sourced(tmp_path)
        await gate.find(a=Level.REMOVE, b=Level.OK)
        assert await gate.find(a=Level.UNKNOWN, b=Level.REMOVE) == (["a"], ("", True))
        assert await gate.find(a=Level.OK, b=Level.REMOVE) == (["b"], ("", False))

    running(test)


def test_a_mode_that_only_warns_takes_no_source_out(tmp_path: Path) -> None:
    async def test() -> None:
        gate = Sourced(tmp_path)
        await gate.find(a=Level.REMOVE, b=Level.OK)
        gate.fitness.adopt(PreflightSettings("warn"), {"shop": "f1"})
        assert gate.out == {"shop": []}
        gate.fitness.adopt(ENFORCE, {"shop": "f1"})
        assert gate.out == {"shop": ["a"]}, "what was found still counts"
        gate.fitness.adopt(ENFORCE, {"shop": "f2"})
        assert gate.out == {"shop": []}, "of another configuration nothing is known"

    running(test)
