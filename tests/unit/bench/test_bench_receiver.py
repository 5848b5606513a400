"""The server's half of the dialogue, byte by byte."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.faults import Faults, Share
from bench.receiver import COMMAND_LIMIT, End, Personality, Receiver

GROUP = b"MAIL FROM:<s@a.example> BODY=8BITMIME SIZE=40\r\nRCPT TO:<%b@b.example>\r\nDATA\r\n"
GROUP_REPLY = b"250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go ahead\r\n"


class Post:
    def __init__(self) -> None:
        self.received: list[tuple[bytes, bytes, bool]] = []
        self.counted: list[str] = []

    def receive(self, recipient: bytes, message: bytes, *, answered: bool) -> None:
        self.received.append((recipient, message, answered))

    def count(self, event: str) -> None:
        self.counted.append(event)


def new(who: Personality | None = None, *shares: str) -> tuple[Receiver, Post]:
    post = Post()
    return Receiver(who or Personality(), Faults([Share.parse(share) for share in shares]), post), post


def replies(receiver: Receiver, data: bytes) -> list[int]:
    return [int(line[:3]) for line in receiver.receive(data).splitlines() if line[3:4] == b" "]


def test_ehlo_offers_what_the_personality_has() -> None:
    receiver, _ = new(Personality(pipelining=False, utf8=False, eightbit=False, size=99, starttls=True))
    answer = receiver.receive(b"EHLO x\r\n")
    assert answer == b"250-sink.test\r\n250-SIZE 99\r\n250-ENHANCEDSTATUSCODES\r\n250 STARTTLS\r\n"
    receiver.secured()
    assert b"STARTTLS" not in receiver.receive(b"EHLO x\r\n")


def test_pipelined_messages_in_one_read() -> None:
    receiver, post = new()
    first = receiver.receive(GROUP % b"x")
    rest = receiver.receive(
        b"Subject: 1\r\n\r\none\r\n.\r\n" + GROUP % b"y" + b"Subject: 2\r\n\r\ntwo\r\n.\r\nQUIT\r\n"
    )
    assert first == GROUP_REPLY
    assert rest == b"250 2.0.0 queued\r\n" + GROUP_REPLY + b"250 2.0.0 queued\r\n221 2.0.0 bye\r\n"
    assert receiver.end is End.CLOSED
    assert post.received == [
        (b"x@b.example", b"Subject: 1\r\n\r\none\r\n", True),
        (b"y@b.example", b"Subject: 2\r\n\r\ntwo\r\n", True),
    ]


STREAM = (
    b"EHLO c\r\n" + GROUP % b"x" + b"a\r\n..dot\r\n.\r\n" + GROUP % b"bounce-1" + GROUP[:0] + b"RSET\r\n" + GROUP % b"dotfail-2"
    + b"..first\r\n\r\n.\r\n" + GROUP % b"y" + b".\r\nNOOP\r\nmail from:<> \r\nRCPT TO:<z@b.example>\r\nDATA\r\nlast\n.\n\r\n.\r\n"
)  # fmt: skip
MESSAGES = [b"a\r\n.dot\r\n", b"", b"last\n.\n\r\n"]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_any_split_gives_the_same_dialogue(cuts: list[int]) -> None:
    whole, post_whole = new()
    parts, post_parts = new()
    edges = [0, *sorted(cuts), len(STREAM)]
    said = b"".join(parts.receive(STREAM[start:stop]) for start, stop in itertools.pairwise(edges))
    assert said == whole.receive(STREAM)
    assert post_parts.received == post_whole.received
    assert [message for _, message, _ in post_whole.received] == MESSAGES


def test_only_crlf_dot_crlf_ends_a_message() -> None:
    receiver, post = new()
    receiver.receive(GROUP % b"x")
    for smuggled in (b"a\n.\n", b"a\n.\r\n", b"a\r\n.\n", b"a\r.\r"):
        assert receiver.receive(smuggled) == b""
    receiver.receive(b"\r\n.\r\n")
    assert len(post.received) == 1


def test_line_by_line() -> None:
    receiver, post = new()
    assert replies(receiver, b"helo me\r\n") == [250]
    assert replies(receiver, b"RCPT TO:<x@b.example>\r\n") == [503]
    assert replies(receiver, b"DATA\r\n") == [554]
    assert replies(receiver, b"mail from:<a@b.example> body=8bitmime\r\n") == [250]
    assert replies(receiver, b"MAIL FROM:<a@b.example>\r\n") == [503]
    assert replies(receiver, b"RCPT TO:<x@b.example>\r\n") == [250]
    assert replies(receiver, b"rcpt to: <y@b.example>\r\n") == [250]
    assert replies(receiver, b"data\r\n") == [354]
    assert replies(receiver, b"hi\r\n.\r\n") == [250]
    assert [recipient for recipient, *_ in post.received] == [b"x@b.example", b"y@b.example"]


@pytest.mark.parametrize(
    ("line", "code", "event"),
    [
        (b"MAIL FROM:a@b.example\r\n", 501, "bad_mail"),
        (b"MAIL FROM:<a@b\x00>\r\n", 501, "bad_mail"),
        (b"RCPT TO:<>\r\n", 501, "bad_rcpt"),
        (b"HELP\r\n", 500, "bad_commands"),
        (b"STARTTLS\r\n", 500, "bad_commands"),
    ],
)
def test_bad_commands(line: bytes, code: int, event: str) -> None:
    receiver, post = new()
    assert replies(receiver, line) == [code]
    assert post.counted == [event]


def test_bare_lf_in_a_command_is_counted_not_obeyed() -> None:
    receiver, post = new()
    assert replies(receiver, b"NOOP\nQUIT\r\n") == [250]
    assert post.counted == ["bare_lf_commands"]


def test_endless_command_line() -> None:
    receiver, _ = new()
    assert receiver.receive(b"x" * COMMAND_LIMIT) == b""
    assert replies(receiver, b"xx") == [500]
    assert receiver.end is End.CLOSED
    assert receiver.receive(b"NOOP\r\n") == b""


def test_utf8_addresses() -> None:
    receiver, _ = new()
    sender = "MAIL FROM:<ä@a.example>".encode()
    assert replies(receiver, sender + b"\r\n") == [553]
    assert replies(receiver, sender + b" SMTPUTF8\r\n") == [250]
    assert replies(receiver, "RCPT TO:<ü@b.example>\r\n".encode()) == [250]
    plain, _ = new(Personality(utf8=False))
    assert replies(plain, b"MAIL FROM:<>\r\n" + "RCPT TO:<ü@b.example>\r\n".encode()) == [250, 553]


def test_size_is_refused_at_mail_and_at_the_dot() -> None:
    receiver, post = new(Personality(size=50))
    assert replies(receiver, GROUP.replace(b"SIZE=40", b"SIZE=51") % b"x") == [552, 503, 554]
    assert replies(receiver, b"MAIL FROM:<> SIZE=51\r\n") == [552]
    assert replies(receiver, GROUP % b"x") == [250, 250, 354]
    for _ in range(10):
        assert receiver.receive(b"y" * 40 + b"\r\n") == b""
    assert replies(receiver, b".\r\nNOOP\r\n") == [552, 250]
    assert replies(receiver, GROUP % b"x" + b"ok\r\n.\r\n") == [250, 250, 354, 250]
    assert len(post.received) == 1


def test_too_many_recipients() -> None:
    receiver, _ = new()
    receiver.receive(b"MAIL FROM:<>\r\n")
    assert replies(receiver, b"RCPT TO:<x@b.example>\r\n" * 101) == [250] * 100 + [452]


def test_pipelining_to_a_server_that_has_none_is_counted() -> None:
    receiver, post = new(Personality(pipelining=False))
    assert replies(receiver, GROUP % b"x") == [250, 250, 354]
    assert post.counted == ["pipelining_violations"] * 2
    assert replies(receiver, b"x\r\n.\r\nNOOP\r\n") == [250, 250]
    assert post.counted == ["pipelining_violations"] * 3


@pytest.mark.parametrize("name", [b"bounce", b"550", b"defer", b"452"])
def test_refused_recipient_leaves_data_without_anybody(name: bytes) -> None:
    receiver, _ = new()
    code = {b"bounce": 550, b"defer": 451}.get(name) or int(name)
    assert replies(receiver, GROUP % (name + b"-x")) == [250, code, 554]
    assert receiver.end is End.OPEN
    assert replies(receiver, b"RSET\r\n" + GROUP % b"y") == [250, 250, 250, 354]


def test_go_ahead_for_nobody() -> None:
    receiver, post = new(Personality(go_ahead_for_nobody=True))
    assert replies(receiver, GROUP % b"bounce-x") == [250, 550, 354]
    assert replies(receiver, b".\r\n") == [554]
    assert post.received == []
    assert replies(receiver, b"DATA\r\n") == [554]


def test_421_closes() -> None:
    receiver, _ = new()
    assert replies(receiver, GROUP % b"421-x") == [250, 421]
    assert receiver.end is End.CLOSED


@pytest.mark.parametrize(
    ("name", "said", "received"),
    [("rcpt", [250], 0), ("data", [250, 250], 0), ("payload", [250, 250, 354], 0), ("dot", [250, 250, 354], 1)],
)
@pytest.mark.parametrize(("kind", "end"), [("drop", End.CLOSED), ("stall", End.STALLED)])
def test_ends_without_a_word(kind: str, end: End, name: str, said: list[int], received: int) -> None:
    if kind == "stall" and name == "payload":
        return
    receiver, post = new()
    word = "stall" if (kind, name) == ("stall", "rcpt") else f"{kind}-{name}"
    assert replies(receiver, GROUP % f"{word}-x".encode() + b"body\r\n.\r\n") == said
    assert receiver.end is end
    assert [answered for *_, answered in post.received] == [False] * received


def test_share_of_recipients() -> None:
    receiver, _ = new(None, "550=1")
    assert replies(receiver, GROUP % b"x") == [250, 550, 554]


def test_starttls_throws_away_what_follows() -> None:
    receiver, post = new(Personality(starttls=True))
    assert replies(receiver, b"EHLO x\r\nSTARTTLS\r\nMAIL FROM:<>\r\n") == [250, 220]
    assert receiver.end is End.TLS
    assert post.counted == ["bytes_behind_starttls"]
    receiver.secured()
    assert replies(receiver, b"STARTTLS\r\nRCPT TO:<x@b.example>\r\n") == [500, 503]


def test_starttls_by_itself() -> None:
    receiver, post = new(Personality(starttls=True))
    assert replies(receiver, b"STARTTLS\r\n") == [220]
    assert receiver.end is End.TLS
    assert post.counted == []
