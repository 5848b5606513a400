"""MTA-STS: records and policies as text, and what is kept, renewed and survived."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.net.dns import Answer, Kind, Status
from engine.net.sts import LONGEST_MAX_AGE, RETRY, Kept, Mode, Policy, StsPolicies, Trouble, parse_policy, version_of

DOMAIN = "example.jp"
ENFORCE = b"version: STSv1\r\nmode: enforce\r\nmx: mx1.example.jp\r\nmx: *.example.net\r\nmax_age: 864000\r\n"
TESTING = ENFORCE.replace(b"enforce", b"testing")


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([b"v=STSv1; id=20260101000000Z;"], "20260101000000Z"),
        ([b"v=STSv1;id=1"], "1"),
        ([b"v=STSv1; id = 7 ; x=y"], "7"),
        ([b"unrelated", b"v=STSv1; id=2"], "2"),
        ([b"v=STSv1; id=1", b"v=STSv1; id=2"], None),
        ([b"v=STSv1; id=1; id=2"], None),
        ([b"v=STSv12; id=1"], None),
        ([b"v=STSv1; id=" + b"a" * 33], None),
        ([b"v=STSv1; id=../../etc"], None),
        ([b"v=STSv1;"], None),
        ([b"id=1; v=STSv1"], None),
        (["text"], None),
        ([], None),
    ],
)
def test_the_version_of_a_record(records: list[object], expected: str | None) -> None:
    assert version_of(records) == expected


def test_a_policy_is_read() -> None:
    policy = parse_policy(ENFORCE + b"future: field\n\n")
    assert isinstance(policy, Policy)
    assert (policy.mode, policy.mx, policy.max_age) == (Mode.ENFORCE, ("mx1.example.jp", "*.example.net"), 864000)
    none = parse_policy(b"version: STSv1\nmode: none\nmax_age: 99999999999"[:-1])
    assert isinstance(none, Policy)
    assert none.max_age == LONGEST_MAX_AGE


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        (b"STSv1", b"STSv2", "version"),
        (b"version: STSv1\r\n", b"", "version"),
        (b"enforce", b"maybe", "mode"),
        (b"864000", b"-1", "max_age"),
        (b"864000", b"9" * 11, "max_age"),
        (b"mx1.example.jp", b"mx1.*.jp", "mx"),
        (b"mx1.example.jp", b"*", "mx"),
        (b"mx1.example.jp", b"", "mx"),
        (b"mx: mx1.example.jp\r\nmx: *.example.net\r\n", b"", "0 mx"),
        (b"mx: mx1.example.jp\r\n", b"mx: mx1.example.jp\r\n" * 200, "201 mx"),
        (b"mx: *", b"mx *", "colon"),
        (b"enforce", b"enf\xfforce", "UTF-8"),
    ],
)
def test_whatever_is_wrong_makes_the_policy_invalid(old: bytes, new: bytes, named: str) -> None:
    found = parse_policy(ENFORCE.replace(old, new))
    assert isinstance(found, Trouble)
    assert found.result == "sts-policy-invalid"
    assert named in found.text


@given(st.binary(max_size=300) | st.text(max_size=100).map(lambda text: ENFORCE + text.encode()))
def test_no_policy_file_is_more_than_a_trouble(raw: bytes) -> None:
    found = parse_policy(raw)
    assert isinstance(found, Policy | Trouble)
    assert not isinstance(found, Trouble) or found.text.isascii()


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("mx1.example.jp", True),
        ("mx2.example.jp", False),
        ("a.example.net", True),
        ("a.b.example.net", False),
        ("example.net", False),
        ("xexample.net", False),
    ],
)
def test_which_hosts_a_policy_names(host: str, expected: bool) -> None:
    policy = parse_policy(ENFORCE)
    assert isinstance(policy, Policy)
    assert policy.names(host) is expected


class Stage:
    """DNS and HTTPS that say what they are told, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 1_000_000.0
        self.record: Answer = Answer(Status.NOERROR, (b"v=STSv1; id=1",))
        self.file: bytes | Trouble = ENFORCE
        self.fetched = 0
        self.gate: asyncio.Event | None = None
        self.troubles: list[str] = []
        self.policies = self.restart()

    def restart(self) -> StsPolicies:
        self.policies = StsPolicies(self, self.fetch, self.folder, clock=lambda: self.now)
        self.policies.on_trouble = lambda _domain, trouble: self.troubles.append(trouble.result)
        return self.policies

    async def ask(self, name: str, kind: Kind) -> Answer:
        assert (name, kind) == (f"_mta-sts.{DOMAIN}", Kind.TXT)
        return self.record

    query = ask

    async def fetch(self, domain: str) -> bytes | Trouble:
        assert domain == DOMAIN
        self.fetched += 1
        if self.gate:
            await self.gate.wait()
        return self.file

    async def mode(self) -> Mode | None:
        await self.policies.look_up(DOMAIN)
        kept = self.policies.of(DOMAIN)
        return kept.policy.mode if kept else None

    def says(self, version: str) -> None:
        self.record = Answer(Status.NOERROR, (f"v=STSv1; id={version}".encode(),))


def staged(tmp_path: Path, test: Callable[[Stage], object]) -> None:
    async def main() -> None:
        await test(Stage(tmp_path / "sts"))  # type: ignore[misc]

    asyncio.run(main())


def test_a_policy_is_fetched_once_for_a_version(tmp_path: Path) -> None:
    async def test(stage: Stage) -> None:
        assert [await stage.mode(), await stage.mode()] == [Mode.ENFORCE] * 2
        assert stage.fetched == 1
        stage.says("2")
        stage.file = TESTING
        assert await stage.mode() is Mode.TESTING
        assert stage.fetched == 2

    staged(tmp_path, test)


@pytest.mark.parametrize(
    "gone", [Answer(Status.NXDOMAIN), Answer(Status.SERVFAIL, text="x"), Answer(Status.NOERROR, (b"v=STSv1",))]
)
def test_a_record_that_vanishes_does_not_end_a_policy_not_even_across_a_restart(tmp_path: Path, gone: Answer) -> None:
    async def test(stage: Stage) -> None:
        await stage.mode()
        stage.record = gone
        assert await stage.mode() is Mode.ENFORCE
        stage.restart()
        assert await stage.mode() is Mode.ENFORCE
        stage.now += 864_000
        assert await stage.mode() is None, "max_age is over"
        stage.restart()
        assert list(stage.folder.iterdir()) == []

    staged(tmp_path, test)


@pytest.mark.parametrize("file", [Trouble("sts-policy-fetch-error", "x"), b"version: STSv1\n"])
def test_a_new_version_that_cannot_be_had_leaves_the_old_one(tmp_path: Path, file: bytes | Trouble) -> None:
    async def test(stage: Stage) -> None:
        await stage.mode()
        stage.says("2")
        stage.file = file
        assert [await stage.mode(), await stage.mode()] == [Mode.ENFORCE] * 2
        assert stage.fetched == 2, "not asked again at once"
        stage.now += RETRY
        await stage.mode()
        assert stage.fetched == 3
        assert len(stage.troubles) == stage.policies.counts.failed == 2

    staged(tmp_path, test)


def test_an_old_policy_is_renewed_beside_what_waits_for_it(tmp_path: Path) -> None:
    async def test(stage: Stage) -> None:
        await stage.mode()
        stage.now += 86_401
        stage.gate = asyncio.Event()
        assert await stage.mode() is Mode.ENFORCE, "while the fetch hangs"
        stage.gate.set()
        await asyncio.gather(*stage.policies._running.values())
        kept = stage.policies.of(DOMAIN)
        assert kept is not None
        assert kept.fetched_at == stage.now

    staged(tmp_path, test)


def test_many_who_ask_share_one_fetch_and_one_of_them_giving_up_does_not_end_it(tmp_path: Path) -> None:
    async def test(stage: Stage) -> None:
        stage.gate = asyncio.Event()
        asking = [asyncio.create_task(stage.policies.look_up(DOMAIN)) for _ in range(5)]
        while not stage.fetched:
            await asyncio.sleep(0)
        asking[0].cancel()
        stage.gate.set()
        await asyncio.gather(*asking[1:])
        assert stage.fetched == 1
        assert stage.policies.known == 1

    staged(tmp_path, test)


def test_closing_ends_what_hangs(tmp_path: Path) -> None:
    async def test(stage: Stage) -> None:
        stage.gate = asyncio.Event()
        asking = asyncio.create_task(stage.policies.look_up(DOMAIN))
        while not stage.fetched:
            await asyncio.sleep(0)
        stage.policies.close()
        with pytest.raises(asyncio.CancelledError):
            await asking

    staged(tmp_path, test)


def test_a_policy_that_cannot_be_written_is_in_force_all_the_same(tmp_path: Path) -> None:
    async def test(stage: Stage) -> None:
        stage.folder.write_text("a file where the folder should be")
        assert await stage.mode() is Mode.ENFORCE

    staged(tmp_path, test)


def test_damaged_files_are_taken_away_and_a_clock_that_was_ahead_gains_nothing(tmp_path: Path) -> None:
    async def test(stage: Stage) -> None:
        await stage.mode()
        good = (stage.folder / DOMAIN).read_text()
        for name, text in {"cut.jp": good[:40], "other.jp": good, ".new-x.jp": "", "list.jp": "[]"}.items():
            (stage.folder / name).write_text(text)
        stage.now -= 100_000
        stage.restart()
        assert [file.name for file in stage.folder.iterdir()] == [DOMAIN]
        kept = stage.policies.of(DOMAIN)
        assert isinstance(kept, Kept)
        assert kept.fetched_at == stage.now

    staged(tmp_path, test)
