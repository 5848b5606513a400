"""What is wanted by HTTPS is posted once, tried again for a day, and known after a restart."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from engine.flow.reportposts import FIRST_WAIT, TRIES, ReportPosts
from engine.flow.tlsreports import TlsReports
from engine.net.dns import Answer, Status
from engine.net.tlsrpt import DAY, places_of
from engine.net.trust import PolicyKind
from tests.unit.flow.test_tlsreports import Stage, next_day

PLACE = "https://reports.example.jp/tlsrpt"


class Server:
    def __init__(self) -> None:
        self.answers: list[str] = []
        self.posts: list[tuple[str, bytes]] = []
        self.hangs = False

    async def __call__(self, place: str, packed: bytes) -> str:
        self.posts.append((place, packed))
        if self.hangs:
            await asyncio.get_running_loop().create_future()
        return self.answers.pop(0) if self.answers else ""


class Office:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 1_000_000.0
        self.server = Server()
        (folder / "a!b!1!2.json.gz").write_bytes(b"packed")
        self.posts = self.start()

    def start(self) -> ReportPosts:
        self.posts = ReportPosts(self.folder, self.server, clock=lambda: self.now)
        return self.posts

    async def want(self, *places: str, wait: float = 0.0) -> None:
        await self.posts.want("a!b!1!2.json.gz", places or (PLACE,), wait=wait)


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_it_is_posted_once_when_it_is_due(office: Office) -> None:
    async def main() -> None:
        await office.want(wait=100.0)
        await office.posts.post_due()
        assert office.server.posts == []
        office.now += 100
        await office.posts.post_due()
        assert office.server.posts == [(PLACE, b"packed")]
        await office.want()  # the day is reported again: we died before its file was taken away
        await office.start().post_due()
        await office.want()
        await office.posts.post_due()
        assert len(office.server.posts) == 1
        assert (office.posts.waiting, office.posts.failed) == (0, 0)

    asyncio.run(main())


def test_a_place_that_does_not_take_it_is_tried_for_a_day_and_given_up(office: Office) -> None:
    async def main() -> None:
        office.server.answers = ["HTTP status 503"] * TRIES
        await office.want()
        began = office.now
        while office.posts.waiting:
            await office.posts.post_due()
            before = len(office.server.posts)
            await office.posts.post_due()
            assert len(office.server.posts) == before, "not again at once"
            office.now += FIRST_WAIT
            office.start() if len(office.server.posts) < TRIES else None
        assert len(office.server.posts) == TRIES
        assert DAY / 2 < office.now - began < 2 * DAY
        assert office.posts.failed == 1

    asyncio.run(main())


def test_what_was_refused_once_is_taken_later(office: Office) -> None:
    async def main() -> None:
        office.server.answers = ["no answer within 10 seconds"]
        await office.want(PLACE, PLACE + "/second")
        await office.posts.post_due()
        assert (office.posts.posted, office.posts.waiting) == (1, 1)
        office.now += FIRST_WAIT
        await office.posts.post_due()
        assert (office.posts.posted, office.posts.waiting) == (2, 0)

    asyncio.run(main())


def test_a_place_that_hangs_keeps_nobody_waiting_and_ends_with_us(office: Office) -> None:
    async def main() -> None:
        office.server.hangs = True
        await office.want()
        office.posts.wake()
        while not office.server.posts:
            await asyncio.sleep(0.001)
        office.posts.wake()
        await office.want(PLACE + "/other")
        await office.posts.close()
        assert len(office.server.posts) == 1
        assert office.start().waiting == 2, "nothing is lost by the end"

    asyncio.run(main())


def test_a_bug_shows(office: Office) -> None:
    async def main() -> None:
        async def broken(_place: str, _packed: bytes) -> str:
            raise ZeroDivisionError

        office.posts = ReportPosts(office.folder, broken, clock=lambda: office.now)
        await office.want()
        office.posts.wake()
        await asyncio.sleep(0.05)
        with pytest.raises(ZeroDivisionError):
            office.posts.wake()

    asyncio.run(main())


def test_a_file_that_went_ends_its_entry(office: Office) -> None:
    async def main() -> None:
        await office.want()
        (office.folder / "a!b!1!2.json.gz").unlink()
        await office.posts.post_due()
        assert (office.posts.waiting, office.posts.failed, office.server.posts) == (0, 1, [])
        assert json.loads((office.folder / "posts.json").read_bytes()) == []

    asyncio.run(main())


@pytest.mark.parametrize(
    "content",
    [b"{", b"[1]", b'[{"file": "../../etc/passwd", "place": "https://x.example", "due": 0}]'],
)
def test_a_damaged_file_is_passed_over(office: Office, content: bytes) -> None:
    (office.folder / "posts.json").write_bytes(content)
    assert office.start().waiting == 0


# -- with the reports ------------------------------------------------------------------------------------------


def test_a_domain_that_wants_both_gets_both_and_one_that_wants_https_alone_no_mail(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    server = Server()
    posts = ReportPosts(stage.folder, server, clock=lambda: stage.now)
    stage.reports = TlsReports(
        stage.folder, "shop", stage.reports._reporter, asker=stage, sts=stage,  # type: ignore[arg-type]
        submit=stage.submit, domain_of=lambda path: path.removeprefix("path to "), clock=lambda: stage.now, posts=posts,
    )  # fmt: skip
    both = b"v=TLSRPTv1; rua=mailto:tls@example.jp,https://reports.example.jp/tlsrpt"
    stage.answers = {
        "example.jp": Answer(Status.NOERROR, (both,)),
        "https.example": Answer(Status.NOERROR, (b"v=TLSRPTv1;rua=https://reports.https.example/v1",)),
    }
    for domain in stage.answers:
        stage.tried(PolicyKind.LIMITS, "encrypted", domain=domain)
    next_day(stage)

    async def main() -> None:
        await stage.reports.report()
        stage.now += DAY
        await posts.post_due()

    asyncio.run(main())
    assert len(stage.submitted) == 1
    assert sorted(place for place, _ in server.posts) == [PLACE, "https://reports.https.example/v1"]
    for _, packed in server.posts:
        assert packed[:2] == b"\x1f\x8b"
        assert packed in [file.read_bytes() for file in stage.folder.glob("*.json.gz")]


def test_places_are_names_with_https_and_few() -> None:
    wanted = [
        "http://plain.example/x", "https://user:secret@a.example/", "https://192.0.2.1", "https://[2001:db8::1]/",
        "https://a.example/#part", "https://one/", "https://a.example:443/x?y=1", "https://b.example", "https://c.example",
    ]  # fmt: skip
    found = places_of((f"v=TLSRPTv1; rua={','.join(wanted)}".encode(),))
    assert found == ("https://a.example:443/x?y=1", "https://b.example"), "an address would not be checked"
