"""Rules of the session that the dialogues do not show one by one (see tests/dialogues for whole conversations)."""

from __future__ import annotations

import pytest

from engine.smtp.event import Closed, Event, Finished, Phase, Returned, Transaction
from engine.smtp.extensions import Extensions
from engine.smtp.reply import Reply
from engine.smtp.session import Session

PIPELINING = Extensions(size=0, pipelining=True)
GO = b"250 ok\r\n250 ok\r\n354 go\r\n"


def transaction(recipient: str = "a@x", *, payload: bytes = b"hi\r\n", utf8: bool = False) -> Transaction:
    return Transaction("s@us", recipient, payload, False, utf8, recipient)


def begun(*, pipelining: bool = True) -> tuple[Session, Transaction]:
    session, first = Session(PIPELINING, pipelining=pipelining), transaction()
    assert session.begin(first) is None
    session.data_to_send()
    return session, first


def at_dot() -> tuple[Session, Transaction]:
    session, first = begun()
    assert session.receive_data(GO) == []
    return session, first


def test_idle_at_first() -> None:
    session = Session(PIPELINING)
    assert session.wants_next
    assert session.phase is None
    assert session.data_to_send() == []
    assert session.receive_data(b"") == []


def test_phase_follows_the_replies() -> None:
    session, _ = begun()
    phases = [session.phase]
    for line in GO.splitlines(keepends=True):
        session.receive_data(line)
        phases.append(session.phase)
    assert phases == [Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.DOT]
    assert session.replies == 3


def test_the_steady_read_is_one_write() -> None:
    session, first = at_dot()
    second, third = transaction("b@x"), transaction("c@x")
    session.begin(second)
    assert b"".join(session.data_to_send()) == (b"hi\r\n.\r\nMAIL FROM:<s@us> SIZE=4\r\nRCPT TO:<b@x>\r\nDATA\r\n")
    assert session.receive_data(b"250 2.0.0 Ok: queued as 1\r\n" + GO) == [
        Finished(first, Phase.DOT, Reply(250, "2.0.0", "Ok: queued as 1"))
    ]
    assert session.wants_next
    session.begin(third)
    assert session.data_to_send()[:2] == [b"hi\r\n", b".\r\n"]
    assert session.receive_data(b"250\r\n" + GO) == [Finished(second, Phase.DOT, Reply(250, "", ""))]


def test_open_transactions_are_those_without_an_outcome() -> None:
    session, first = at_dot()
    second = transaction("b@x")
    session.begin(second)
    session.data_to_send()
    assert session.open_transactions == (first, second)
    session.receive_data(b"250 ok\r\n" + GO)
    assert session.open_transactions == (second,)
    assert Session(PIPELINING).open_transactions == ()


def test_quit_behind_the_last_dot() -> None:
    session, first = at_dot()
    session.begin(transaction("b@x"))
    session.data_to_send()
    session.quit()
    session.quit()
    assert session.data_to_send() == []
    assert not session.wants_next
    assert session.receive_data(b"250 ok\r\n" + GO) == [Finished(first, Phase.DOT, Reply(250, "", "ok"))]
    assert session.data_to_send() == [b"hi\r\n", b".\r\n", b"QUIT\r\n"]


def test_quit_when_idle_and_after_the_end() -> None:
    session = Session(PIPELINING)
    session.quit()
    assert session.data_to_send() == [b"QUIT\r\n"]
    assert session.receive_data(b"500 what\r\n") == [Closed(Phase.QUIT, Reply(500, "", "what"), "", ())]
    assert session.is_closed
    session.quit()
    assert session.receive_data(b"250 ok\r\n") == []
    assert session.receive_eof() == []
    assert session.data_to_send() == []


def test_quit_in_lockstep_waits_for_the_dot() -> None:
    session, first = begun(pipelining=False)
    session.quit()
    for reply in GO.splitlines(keepends=True):
        session.receive_data(reply)
        session.data_to_send()
    assert session.receive_data(b"250 ok\r\n") == []
    assert session.data_to_send() == [b"QUIT\r\n"]
    assert session.receive_data(b"221 bye\r\n")[0] == Finished(first, Phase.DOT, Reply(250, "", "ok"))


def test_pipelining_is_not_used_where_not_wanted() -> None:
    session = Session(PIPELINING, pipelining=False)
    session.begin(transaction())
    assert session.data_to_send() == [b"MAIL FROM:<s@us> SIZE=4\r\n"]
    assert not session.wants_next


def test_begin_twice_is_our_bug() -> None:
    session, _ = begun()
    with pytest.raises(AssertionError, match="busy"):
        session.begin(transaction())


def test_payload_without_crlf_is_our_bug() -> None:
    with pytest.raises(AssertionError, match="CRLF"):
        Session(PIPELINING).begin(transaction(payload=b"hi"))


@pytest.mark.parametrize("pipelining", [True, False])
def test_a_bad_address_is_refused_here(pipelining: bool) -> None:
    session = Session(Extensions(pipelining=pipelining))
    refused = session.begin(transaction("a@x\r\nRSET"))
    assert refused is not None
    assert (refused.phase, refused.reply.code, refused.reply.enhanced) == (Phase.RCPT, 553, "5.1.3")
    assert refused.reply.text.startswith("local: ")
    assert session.wants_next
    assert session.data_to_send() == []


def test_quoted_addresses_take_the_long_way() -> None:
    session = Session(PIPELINING)
    assert session.begin(transaction('"a b"@x')) is None
    assert session.data_to_send() == [b'MAIL FROM:<s@us> SIZE=4\r\nRCPT TO:<"a b"@x>\r\nDATA\r\n']


def test_size_zero_is_no_limit() -> None:
    assert Session(Extensions(size=0)).begin(transaction(payload=b"x" * 10_000_000 + b"\r\n")) is None


def test_timeout_is_an_error_of_the_wire() -> None:
    session, first = at_dot()
    assert session.receive_eof("no reply to DOT within 600 seconds") == [
        Closed(Phase.DOT, None, "no reply to DOT within 600 seconds", ((first, Phase.DATA),))
    ]


def test_the_payload_is_in_doubt_only_once_it_was_drained() -> None:
    session, first = at_dot()
    session.data_to_send()
    (closed,) = session.receive_eof()
    assert isinstance(closed, Closed)
    assert closed.unresolved == ((first, Phase.DOT),)


def test_held_outcomes_survive_a_clean_end() -> None:
    session, first = at_dot()
    session.data_to_send()
    assert session.receive_data(b"250 ok\r\n") == []
    events = session.receive_eof()
    assert events == [
        Finished(first, Phase.DOT, Reply(250, "", "ok")),
        Closed(Phase.RSET, None, "connection closed by the peer", ()),
    ]


def test_a_refusal_and_its_group_survive_a_clean_end() -> None:
    session, first = begun()
    assert session.receive_data(b"250 ok\r\n550 no\r\n") == []
    assert session.receive_eof()[0] == Finished(first, Phase.RCPT, Reply(550, "", "no"))


def test_a_refusal_is_unknown_when_the_count_is_wrong() -> None:
    session, first = begun()
    (closed,) = session.receive_data(b"550 stray\r\n250 ok\r\n250 ok\r\n")
    assert isinstance(closed, Closed)
    assert closed.unresolved == ((first, Phase.DATA),)


def test_a_late_reply_in_lockstep() -> None:
    """The dot's 250 and something behind it in one read: not believed."""
    session, first = begun(pipelining=False)
    for reply in GO.splitlines(keepends=True):
        session.receive_data(reply)
        session.data_to_send()
    events: list[Event] = session.receive_data(b"250 ok\r\n250 stray\r\n")
    assert len(events) == 1
    assert isinstance(events[0], Closed)
    assert events[0].unresolved == ((first, Phase.DOT),)


def test_no_rset_is_due_twice() -> None:
    """Refused recipient, lone dot, RSET behind it; the next group needs no other."""
    session, _ = begun()
    session.receive_data(b"250 ok\r\n550 no\r\n354 go\r\n")
    assert session.data_to_send() == [b".\r\n", b"RSET\r\n"]
    session.begin(transaction("b@x"))
    assert session.data_to_send() == [b"MAIL FROM:<s@us> SIZE=4\r\nRCPT TO:<b@x>\r\nDATA\r\n"]


@pytest.mark.parametrize("code", [451, 550])
@pytest.mark.parametrize("at", [Phase.MAIL, Phase.RCPT, Phase.DATA])
def test_refusals_in_lockstep(at: Phase, code: int) -> None:
    session, first = begun(pipelining=False)
    for reply in GO.splitlines(keepends=True)[: at - Phase.MAIL]:
        assert session.receive_data(reply) == []
        session.data_to_send()
    assert session.receive_data(b"%d no\r\n" % code) == [Finished(first, at, Reply(code, "", "no"))]
    assert session.wants_next
    assert session.phase is None
    session.begin(transaction("b@x"))
    mail = b"MAIL FROM:<s@us> SIZE=4\r\n"
    if at is Phase.MAIL:
        assert session.data_to_send() == [mail]
    else:
        assert session.data_to_send() == [b"RSET\r\n"]
        assert session.receive_data(b"250 ok\r\n") == []
        assert session.data_to_send() == [mail]


@pytest.mark.parametrize(
    ("replies", "phase", "reset"),
    [
        (b"550 no\r\n503 no\r\n503 no\r\n", Phase.MAIL, False),
        (b"250 ok\r\n550 no\r\n503 no\r\n", Phase.RCPT, True),
        (b"250-ok\r\n250 ok\r\n250 ok\r\n550 no\r\n", Phase.DATA, True),
    ],
)
def test_refusals_in_a_group(replies: bytes, phase: Phase, reset: bool) -> None:
    session, first = begun()
    assert session.receive_data(replies) == [Finished(first, phase, Reply(550, "", "no"))]
    assert session.data_to_send() == []
    session.begin(transaction("b@x"))
    group = b"MAIL FROM:<s@us> SIZE=4\r\nRCPT TO:<b@x>\r\nDATA\r\n"
    assert session.data_to_send() == ([b"RSET\r\n"] if reset else []) + [group]


def test_the_last_dot_is_proved_by_a_reset() -> None:
    session, first = at_dot()
    assert session.data_to_send() == [b"hi\r\n", b".\r\n", b"RSET\r\n"]
    assert session.receive_data(b"250 ok\r\n") == []
    assert session.receive_data(b"250 reset\r\n") == [Finished(first, Phase.DOT, Reply(250, "", "ok"))]
    assert session.phase is None


def test_go_ahead_in_two_lines() -> None:
    session, _ = begun()
    session.receive_data(b"250 ok\r\n250 ok\r\n354-go\r\n354 on\r\n")
    assert session.phase is Phase.DOT


def test_421_when_idle() -> None:
    session = Session(PIPELINING)
    assert session.receive_data(b"421 4.4.2 idle\r\n") == [Closed(None, Reply(421, "4.4.2", "idle"), "", ())]


def test_unasked_when_idle() -> None:
    (closed,) = Session(PIPELINING).receive_data(b"250 \x1b[2J\r\n")
    assert isinstance(closed, Closed)
    assert closed == Closed(None, None, "a reply that nobody asked for: '250 \\x1b[2J'", ())


def test_a_reply_to_the_payload_before_it_was_written() -> None:
    session, first = begun()
    (closed,) = session.receive_data(GO + b"2")
    assert isinstance(closed, Closed)
    assert closed.unresolved == ((first, Phase.DATA),)
    assert session.data_to_send() == []


def test_421_between_two_transactions() -> None:
    session, first = at_dot()
    second = transaction("b@x")
    session.begin(second)
    session.data_to_send()
    reply = Reply(421, "", "bye")
    assert session.receive_data(b"421 bye\r\n") == [
        Closed(Phase.DOT, reply, "", ((first, Phase.DOT), (second, Phase.MAIL)))
    ]


@pytest.mark.parametrize(
    ("stream", "at"),
    [
        (b"354 go\r\n", "MAIL"),
        (b"220 hi\r\n", "MAIL"),
        (b"250 ok\r\n221 bye\r\n", "RCPT"),
        (b"250 ok\r\n250 ok\r\n250 ok\r\n", "DATA"),
    ],
)
def test_replies_out_of_place(stream: bytes, at: str) -> None:
    session, first = begun()
    (closed,) = session.receive_data(stream)
    assert isinstance(closed, Closed)
    assert closed.error.startswith(f"not a reply to {at}: ")
    assert closed.unresolved == ((first, Phase[at]),)


@pytest.mark.parametrize("last", [b"554 spam\r\n", b"354 go\r\n"])
def test_what_follows_a_dot_must_fit(last: bytes) -> None:
    """The first 250 was a stray one; QUIT gets the dot's reply."""
    session, first = at_dot()
    session.quit()
    session.data_to_send()
    assert session.receive_data(b"250 stray\r\n") == []
    (closed,) = session.receive_data(last)
    assert isinstance(closed, Closed)
    assert closed.unresolved == ((first, Phase.DOT),)


def test_local_refusals() -> None:
    session = Session(Extensions(size=3))
    large, eightbit, utf8 = transaction(), transaction(payload=b"\r\n"), transaction(payload=b"\r\n", utf8=True)
    eightbit.eightbit = True
    refused = [session.begin(each) for each in (large, eightbit, utf8)]
    assert [(each.reply.code, each.reply.enhanced) for each in refused if each is not None] == [
        (552, "5.3.4"), (554, "5.6.3"), (553, "5.6.7"),
    ]  # fmt: skip
    assert session.data_to_send() == []


@pytest.mark.parametrize("reply", [b"250 empty\r\n", b"554 no recipients\r\n"])
def test_the_reply_to_a_lone_dot_is_nobodys(reply: bytes) -> None:
    session, first = begun()
    assert session.receive_data(b"250 ok\r\n550 no\r\n354 go\r\n") == [
        Finished(first, Phase.RCPT, Reply(550, "", "no"))
    ]
    session.data_to_send()
    assert session.receive_data(reply + b"250 reset\r\n") == []
    assert session.phase is None
    assert session.wants_next


def test_8bit_content_is_announced() -> None:
    session, first = Session(Extensions(pipelining=True, eightbitmime=True)), transaction()
    first.eightbit = True
    session.begin(first)
    assert session.data_to_send() == [b"MAIL FROM:<s@us> BODY=8BITMIME\r\nRCPT TO:<a@x>\r\nDATA\r\n"]


# -- servers that take nothing behind a dot (Haraka since 3.3: GHSA-rp4q-8m6x-c43c) ------------------------------

REFUSED = b"503 Bad sequence of commands - pipelined after end of DATA\r\n"
TAKEN = b"250 Message Queued\r\n"
DELIVERED = Reply(250, "", "Message Queued")


def written(session: Session) -> bytes:
    return b"".join(session.data_to_send())


def test_a_reset_refused_behind_the_dot_is_asked_again_alone() -> None:
    session, first = at_dot()
    assert written(session).endswith(b".\r\nRSET\r\n")
    assert session.receive_data(TAKEN + REFUSED) == [], "not proved yet"
    assert (written(session), session.wants_next, session.phase) == (b"RSET\r\n", False, Phase.RSET)
    assert session.receive_data(b"250 ok\r\n") == [Finished(first, Phase.DOT, DELIVERED)]
    assert (session.wants_next, session.phase) == (True, None)


def test_the_next_one_refused_behind_the_dot_is_given_back_and_nothing_rides_behind_a_dot_any_more() -> None:
    session, first = at_dot()
    second = transaction("b@x")
    session.begin(second)
    written(session)
    assert session.receive_data(TAKEN + REFUSED + REFUSED) == []
    assert session.receive_data(REFUSED) == []
    assert written(session) == b"RSET\r\n"
    assert session.receive_data(b"250 ok\r\n") == [Finished(first, Phase.DOT, DELIVERED), Returned(second)]
    assert (written(session), session.wants_next) == (b"", True), "whether it goes again is its owner's to say"
    assert session.open_transactions == ()
    session.begin(second)
    assert written(session) == b"MAIL FROM:<s@us> SIZE=4\r\nRCPT TO:<b@x>\r\nDATA\r\n", "in one piece still"
    assert not session.wants_next
    session.receive_data(GO)
    assert (written(session), session.wants_next) == (b"hi\r\n.\r\n", False)
    assert session.receive_data(TAKEN) == [Finished(second, Phase.DOT, DELIVERED)]
    assert (written(session), session.wants_next) == (b"", True)
    third = transaction("c@x")
    session.begin(third)
    written(session)
    session.quit()
    session.receive_data(GO)
    assert written(session) == b"hi\r\n.\r\n", "no QUIT behind it either"
    assert session.receive_data(TAKEN) == []
    assert written(session) == b"QUIT\r\n"
    assert session.receive_data(b"221 bye\r\n")[0] == Finished(third, Phase.DOT, DELIVERED)


def test_what_was_refused_with_a_reset_before_it_is_given_back_too() -> None:
    session, first = at_dot()
    written(session)
    second = transaction("b@x")
    session.begin(second)
    written(session)
    session.receive_data(TAKEN + REFUSED * 4)
    assert written(session) == b"RSET\r\n"
    assert session.receive_data(b"250 ok\r\n") == [Finished(first, Phase.DOT, DELIVERED), Returned(second)]
    session.begin(second)
    assert written(session).startswith(b"MAIL FROM")
    session.receive_data(b"550 no\r\n" * 2 + b"503 no\r\n")
    assert session.wants_next, "a refusal of its own is one"


def test_a_quit_refused_behind_the_dot_is_sent_again() -> None:
    session, first = begun()
    session.quit()
    session.receive_data(GO)
    assert written(session).endswith(b".\r\nQUIT\r\n")
    assert session.receive_data(TAKEN + REFUSED) == []
    assert written(session) == b"RSET\r\n"
    assert session.receive_data(b"250 ok\r\n") == [Finished(first, Phase.DOT, DELIVERED)]
    assert written(session) == b"QUIT\r\n"
    (closed,) = session.receive_data(b"221 bye\r\n")
    assert isinstance(closed, Closed)
    assert closed.unresolved == ()


def test_what_was_refused_behind_the_dot_of_a_session_that_ends_is_given_back_and_not_sent() -> None:
    session, first = at_dot()
    second = transaction("b@x")
    session.begin(second)
    written(session)
    session.quit()
    session.receive_data(TAKEN + REFUSED * 3)
    assert written(session) == b"RSET\r\n"
    assert session.receive_data(b"250 ok\r\n") == [Finished(first, Phase.DOT, DELIVERED), Returned(second)]
    assert written(session) == b"QUIT\r\n"


def test_a_lone_dot_for_a_refused_recipient_with_what_is_refused_behind_it() -> None:
    session, first = begun()
    assert session.receive_data(b"250 ok\r\n550 5.1.1 no\r\n354 go\r\n") == [
        Finished(first, Phase.RCPT, Reply(550, "5.1.1", "no"))
    ]
    assert written(session).startswith(b".\r\n")


@pytest.mark.parametrize(
    "replies",
    [
        TAKEN + REFUSED + b"250 ok\r\n",
        TAKEN + REFUSED + REFUSED,
        TAKEN + b"554 5.7.1 no\r\n",
        TAKEN + b"503 5.5.1 no\r\n",
        b"250 stray\r\n" + TAKEN + REFUSED,
    ],
    ids=[
        "a reply too many",
        "a refusal too many",
        "another refusal",
        "a refusal without its reason",
        "a stray line before",
    ],
)
def test_what_does_not_fit_is_no_delivery(replies: bytes) -> None:
    session, first = at_dot()
    written(session)
    events = session.receive_data(replies)
    (closed,) = [event for event in events if isinstance(event, Closed)]
    if replies.startswith(b"250 stray"):
        # The stray line is taken for the dot's reply, and the reset's place has a 250: what follows is unasked for.
        assert closed.error
    else:
        assert [transaction for transaction, _ in closed.unresolved] == [first]
        assert not [event for event in events if isinstance(event, Finished)]


def test_a_reset_that_is_refused_alone_ends_the_session() -> None:
    session, first = at_dot()
    written(session)
    session.receive_data(TAKEN + REFUSED)
    written(session)
    (closed,) = session.receive_data(b"250 ok\r\n250 unasked\r\n")[-1:]
    assert isinstance(closed, Closed)
    session, first = at_dot()
    written(session)
    session.receive_data(TAKEN + REFUSED)
    written(session)
    (closed,) = session.receive_data(b"450 no\r\n")
    assert isinstance(closed, Closed)
    assert [transaction for transaction, _ in closed.unresolved] == [first]


def test_a_refusal_that_comes_late_is_not_taken_for_the_answer_to_the_lone_reset() -> None:
    """A stray line was taken for the dot's reply, and the dot's 503 for MAIL's: the last refusal comes one too late."""
    session, first = at_dot()
    session.begin(transaction("b@x"))
    written(session)
    assert session.receive_data(b"250 stray\r\n" + REFUSED * 3) == []
    assert written(session) == b"RSET\r\n"
    (closed,) = session.receive_data(REFUSED)
    assert isinstance(closed, Closed)
    assert first in [transaction for transaction, _ in closed.unresolved]


@pytest.mark.parametrize("reply", [b"250 ok\r\n", b"250-ok\r\n250 ok\r\n", b"450 4.3.0 later\r\n"])
def test_behind_a_refusal_of_what_stood_behind_the_dot_only_refusals_come(reply: bytes) -> None:
    session, first = at_dot()
    session.begin(transaction("b@x"))
    written(session)
    (closed,) = session.receive_data(TAKEN + REFUSED + reply + REFUSED)
    assert isinstance(closed, Closed)
    assert "not a refusal of RCPT" in closed.error
    assert first in [transaction for transaction, _ in closed.unresolved]
