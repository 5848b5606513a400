"""Every row of the outcome table, and what surrounds it: expiry, hints, doubt, suppression."""

from __future__ import annotations

from pathlib import Path

import pytest

import engine.policy
from engine.policy.backoff import Ladder
from engine.policy.classify import Class
from engine.policy.outcome import DELIVERED, Attempt, Kind, PathWord, Refusal, Ruling, rule, rule_connect
from engine.policy.rules import compile_rules, read_reply
from engine.smtp.reply import Reply
from engine.smtp.session import Phase

RULES = compile_rules((Path(engine.policy.__file__).parent / "rules.toml").read_text("utf-8"))
LADDER = Ladder(1200, 14400, jitter=0.0)
NOW = 1_800_000_000.5
FAR = 1_900_000_000


def _attempt(phase: Phase, reply: str = "", error: str = "", attempts: int = 0, expires: int = FAR) -> Attempt:
    return Attempt(phase, read_reply(reply) if reply else None, error, attempts, NOW - 60, expires)


def _rule(
    phase: Phase, reply: str = "", error: str = "", *, attempts: int = 0, expires: int = FAR, u: float = 0.0
) -> Ruling:
    return rule(_attempt(phase, reply, error, attempts, expires), now=NOW, u=u, ladder=LADDER, rules=RULES)


def _connect(
    phase: Phase, reply: str = "", error: str = "", *, tls_failed: bool = False, age: float = 60, final: bool = False
) -> Ruling:
    refusal = Refusal(
        phase, read_reply(reply) if reply else None, error, tls_failed, 0, NOW - age, expires=FAR, final=final
    )
    return rule_connect(refusal, now=NOW, u=0.0, ladder=LADDER, rules=RULES)


def _due(seconds: float) -> int:
    return int(NOW) + int(seconds) + 1


# --- SITE: no connection, greeting refused, TLS not had: deferred, close, failure


@pytest.mark.parametrize(
    ("phase", "reply", "error", "bounce_class"),
    [
        (Phase.CONNECT, "", "connection refused", Class.NETWORK),
        (Phase.CONNECT, "", "timed out", Class.NETWORK),
        (Phase.GREETING, "450 4.3.0 Later", "", Class.SYSTEM),
        (Phase.GREETING, "554 Neko", "", Class.OTHER),
        (Phase.EHLO, "550 Neko", "", Class.OTHER),
        (Phase.GREETING, "421 4.3.2 Service shutting down", "", Class.SYSTEM),
        (Phase.AUTH, "535 5.7.8 Authentication credentials invalid", "", Class.POLICY),
    ],
)
def test_no_session_is_the_sites_failure(phase: Phase, reply: str, error: str, bounce_class: Class) -> None:
    ruling = _connect(phase, reply, error)
    assert (ruling.kind, ruling.due, ruling.counted) == (Kind.DEFERRED, _due(1200), True)
    assert (ruling.close_session, ruling.path, ruling.pause_seconds) == (True, PathWord.FAILURE, 0.0)
    assert (ruling.bounce_class, ruling.suppress) == (bounce_class, "")


def test_tls_required_and_not_had_is_the_sites_failure() -> None:
    ruling = _connect(Phase.STARTTLS, error="certificate verify failed", tls_failed=True)
    assert (ruling.kind, ruling.path, ruling.bounce_class) == (Kind.DEFERRED, PathWord.FAILURE, Class.TLS)


def test_a_greeting_that_blocks_us_is_a_failure_and_a_rest() -> None:
    ruling = _connect(Phase.GREETING, "554 5.7.1 Service unavailable; client blocked using zen.spamhaus.org")
    assert (ruling.kind, ruling.path, ruling.pause_seconds) == (Kind.DEFERRED, PathWord.FAILURE, 7200)
    assert (ruling.bounce_class, ruling.rule) == (Class.BLOCK, "block-list")


def test_a_greeting_that_says_when_is_obeyed() -> None:
    ruling = _connect(Phase.GREETING, "421 Too many connections, try again in 5 minutes")
    assert (ruling.due, ruling.pause_seconds) == (_due(310), 300)


def test_a_name_that_takes_no_mail_bounces_at_once() -> None:
    ruling = _connect(Phase.CONNECT, error="NXDOMAIN", final=True, age=0)
    assert (ruling.kind, ruling.bounce_class, ruling.suppress) == (Kind.BOUNCED, Class.UNKNOWN_HOST, "")
    assert ruling.path is PathWord.NEUTRAL


def test_no_session_after_the_expiry_is_expired() -> None:
    refusal = Refusal(Phase.CONNECT, None, "refused", False, 3, NOW - 99, expires=int(NOW))
    ruling = rule_connect(refusal, now=NOW, u=0.0, ladder=LADDER, rules=RULES)
    assert (ruling.kind, ruling.path) == (Kind.EXPIRED, PathWord.FAILURE)


# --- MESSAGE: MAIL refused


def test_mail_refused_for_now() -> None:
    ruling = _rule(Phase.MAIL, "450 Neko")
    assert (ruling.kind, ruling.close_session, ruling.path) == (Kind.DEFERRED, False, PathWord.NEUTRAL)
    assert (ruling.due, ruling.counted) == (_due(1200), True)


def test_mail_refused_for_good() -> None:
    ruling = _rule(Phase.MAIL, "550 Neko")
    assert (ruling.kind, ruling.close_session, ruling.bounce_class) == (Kind.BOUNCED, False, Class.SENDER)
    assert (ruling.due, ruling.path) == (0, PathWord.NEUTRAL)


def test_mail_refused_for_our_rate_rests_the_path() -> None:
    ruling = _rule(Phase.MAIL, "450 4.7.1 Error: too much mail from 192.0.2.1")
    assert (ruling.kind, ruling.path, ruling.pause_seconds) == (Kind.DEFERRED, PathWord.PAUSE, 600)


def test_mail_refused_for_a_block_rests_the_path_for_long() -> None:
    ruling = _rule(Phase.MAIL, "550 5.7.1 part of their network is on our block list (S3150)")
    assert (ruling.kind, ruling.path, ruling.pause_seconds) == (Kind.BOUNCED, PathWord.PAUSE, 7200)
    assert not ruling.suppress


# --- RECIPIENT: RCPT refused


def test_rcpt_refused_for_now_defers_that_one_and_says_nothing_of_the_path() -> None:
    ruling = _rule(Phase.RCPT, "451 4.7.1 greylisted, try later")
    assert (ruling.kind, ruling.bounce_class) == (Kind.DEFERRED, Class.GREYLIST)
    assert (ruling.close_session, ruling.path, ruling.pause_seconds) == (False, PathWord.NEUTRAL, 0.0)


def test_rcpt_refused_for_good_bounces_and_suppresses_by_class() -> None:
    ruling = _rule(Phase.RCPT, "550 5.1.1 User unknown")
    assert (ruling.kind, ruling.bounce_class, ruling.suppress) == (Kind.BOUNCED, Class.UNKNOWN_USER, "UNKNOWN_USER")
    assert (ruling.close_session, ruling.path) == (False, PathWord.NEUTRAL)
    assert _rule(Phase.RCPT, "550 Neko") == Ruling(Kind.BOUNCED, bounce_class=Class.OTHER)


@pytest.mark.parametrize(
    "reply", ["452 4.5.3 Error: too many recipients", "452 too many recipients", "552 too many recipients"]
)
def test_too_many_recipients_is_put_back_and_no_attempt(reply: str) -> None:
    ruling = _rule(Phase.RCPT, reply, attempts=5, u=0.5)
    assert (ruling.kind, ruling.counted, ruling.due) == (Kind.DEFERRED, False, _due(90))
    assert (ruling.path, ruling.bounce_class) == (PathWord.NEUTRAL, Class.TOO_MANY_RECIPIENTS)
    # With one recipient a transaction it can only be counted by session: this one is full.
    assert ruling.close_session


# --- DOT


@pytest.mark.parametrize("reply", ["250 2.0.0 OK", "250 queued", "251 will forward", "299"])
def test_delivered(reply: str) -> None:
    assert _rule(Phase.DOT, reply) is DELIVERED
    assert (DELIVERED.kind, DELIVERED.path, DELIVERED.close_session) == (Kind.DELIVERED, PathWord.SUCCESS, False)


def test_delivered_after_the_expiry_is_delivered() -> None:
    assert _rule(Phase.DOT, "250 OK", expires=1) is DELIVERED


def test_dot_refused_for_now() -> None:
    ruling = _rule(Phase.DOT, "451 4.3.0 Temporary system problem")
    assert (ruling.kind, ruling.close_session, ruling.path) == (Kind.DEFERRED, False, PathWord.FAILURE)
    assert not ruling.in_doubt


def test_dot_refused_for_good() -> None:
    ruling = _rule(Phase.DOT, "554 5.7.1 Message rejected because it is considered spam")
    assert (ruling.kind, ruling.bounce_class, ruling.path) == (Kind.BOUNCED, Class.CONTENT, PathWord.NEUTRAL)


def test_dot_refused_by_class() -> None:
    ruling = _rule(Phase.DOT, "421 4.7.28 unusual rate of mail originating from your IP address")
    assert (ruling.path, ruling.pause_seconds, ruling.bounce_class) == (PathWord.PAUSE, 600, Class.RATE)


def test_lost_in_dot_is_tried_again_in_doubt() -> None:
    attempt = _attempt(Phase.DOT, error="connection lost")
    assert attempt.lost_in_dot
    ruling = rule(attempt, now=NOW, u=0.0, ladder=LADDER, rules=RULES)
    assert (ruling.kind, ruling.in_doubt, ruling.counted) == (Kind.DEFERRED, True, True)
    assert (ruling.close_session, ruling.path, ruling.bounce_class) == (True, PathWord.FAILURE, Class.NETWORK)


@pytest.mark.parametrize("reply", ["250 OK", "354 go", "550 no"])
def test_a_reply_that_came_with_a_broken_session_is_not_believed(reply: str) -> None:
    attempt = _attempt(Phase.DOT, reply.replace("354", "454"), error="reply out of order")
    assert attempt.lost_in_dot
    ruling = rule(attempt, now=NOW, u=0.0, ladder=LADDER, rules=RULES)
    assert (ruling.kind, ruling.in_doubt, ruling.close_session) == (Kind.DEFERRED, True, True)
    assert (ruling.bounce_class, ruling.path) == (Class.PROTOCOL, PathWord.FAILURE)


@pytest.mark.parametrize(("phase", "reply"), [(Phase.MAIL, "250 OK"), (Phase.RCPT, "250 OK"), (Phase.DATA, "250 OK")])
def test_a_success_that_is_no_delivery_is_never_taken_for_one(phase: Phase, reply: str) -> None:
    ruling = _rule(phase, reply)
    assert (ruling.kind, ruling.bounce_class, ruling.close_session) == (Kind.DEFERRED, Class.PROTOCOL, True)
    assert not ruling.in_doubt


@pytest.mark.parametrize(
    ("phase", "counted"), [(Phase.MAIL, False), (Phase.RCPT, True), (Phase.DATA, True), (Phase.RSET, False)]
)
def test_lost_before_the_dot_is_in_no_doubt_and_counts_only_for_the_one_being_served(
    phase: Phase, counted: bool
) -> None:
    ruling = _rule(phase, error="connection lost")
    assert (ruling.kind, ruling.in_doubt, ruling.counted) == (Kind.DEFERRED, False, counted)
    assert (ruling.close_session, ruling.path) == (True, PathWord.FAILURE)


def test_lost_in_dot_is_false_for_replies_that_stand() -> None:
    assert not _attempt(Phase.DOT, "250 OK").lost_in_dot
    assert not _attempt(Phase.DOT, "451 no").lost_in_dot
    assert not _attempt(Phase.RCPT, error="lost").lost_in_dot
    assert not _attempt(Phase.DOT, "421 closing", error="421").lost_in_dot


# --- SESSION: 421 anywhere


@pytest.mark.parametrize("error", ["", "421 in RCPT"])
@pytest.mark.parametrize("phase", [Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.DOT, Phase.RSET])
def test_421_closes_the_session_and_rests_the_path_briefly(phase: Phase, error: str) -> None:
    ruling = _rule(phase, "421 Neko", error)
    assert (ruling.kind, ruling.close_session, ruling.in_doubt) == (Kind.DEFERRED, True, False)
    assert (ruling.path, ruling.pause_seconds) == (PathWord.PAUSE, 30.0)
    assert ruling.counted == (phase in {Phase.RCPT, Phase.DATA, Phase.DOT})


def test_421_with_a_hint_rests_for_that_long() -> None:
    ruling = _rule(Phase.MAIL, "421 Neko, come back in 10 minutes")
    assert (ruling.pause_seconds, ruling.due) == (600, _due(610))
    assert _rule(Phase.MAIL, "421 Neko, come back in 10 hours").pause_seconds == 7200


def test_421_by_class_rests_as_the_class_or_its_rule_says() -> None:
    assert _rule(Phase.MAIL, "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred").pause_seconds == 7200


def test_421_of_a_full_session_wants_another_at_once() -> None:
    ruling = _rule(Phase.MAIL, "421 Max message per connection reached")
    assert (ruling.close_session, ruling.path, ruling.pause_seconds) == (True, PathWord.NEUTRAL, 0)
    assert not ruling.counted


# --- expiry


def test_what_would_be_due_behind_the_expiry_is_due_at_it() -> None:
    soon = int(NOW) + 100
    assert _rule(Phase.RCPT, "450 Neko", expires=soon).due == soon
    assert _rule(Phase.DOT, error="lost", expires=soon).due == soon
    assert _rule(Phase.RCPT, "452 too many recipients", expires=int(NOW) + 10).due == int(NOW) + 10


@pytest.mark.parametrize(
    ("phase", "reply", "error"),
    [
        (Phase.RCPT, "450 Neko", ""),
        (Phase.MAIL, "421 Neko", ""),
        (Phase.DOT, "", "lost"),
        (Phase.RCPT, "452 too many recipients", ""),
    ],
)
def test_a_failure_for_now_after_the_expiry_is_expired(phase: Phase, reply: str, error: str) -> None:
    ruling = _rule(phase, reply, error, expires=int(NOW))
    assert (ruling.kind, ruling.due) == (Kind.EXPIRED, 0)
    assert ruling.in_doubt == (phase is Phase.DOT)


def test_a_failure_for_good_after_the_expiry_is_a_bounce() -> None:
    assert _rule(Phase.RCPT, "550 Neko", expires=1).kind is Kind.BOUNCED


def test_a_due_time_is_never_before_its_delay() -> None:
    assert _rule(Phase.RCPT, "450 Neko").due >= NOW + 1200


# --- waits


def test_waits_grow_with_the_attempts() -> None:
    assert [_rule(Phase.RCPT, "450 Neko", attempts=n).due - int(NOW) - 1 for n in range(5)] == [
        1200,
        2400,
        4800,
        9600,
        14400,
    ]


def test_a_greylist_that_says_when_is_obeyed_and_does_not_rest_the_path() -> None:
    ruling = _rule(Phase.RCPT, "450 4.7.1 Greylisted, please try again in 300 seconds")
    assert (ruling.due, ruling.path, ruling.pause_seconds) == (_due(310), PathWord.NEUTRAL, 0)


def test_a_hint_lengthens_a_rest_up_to_two_hours() -> None:
    assert _rule(Phase.MAIL, "450 4.7.1 rate limit, try again in 30 minutes").pause_seconds == 1800
    assert _rule(Phase.MAIL, "450 4.7.1 rate limit, try again in 1 day").pause_seconds == 7200
    assert _rule(Phase.MAIL, "450 4.7.1 rate limit, try again in 1 minute").pause_seconds == 600


# --- traps


def test_docomo_unknown_user_means_two_things() -> None:
    at_rcpt, at_dot = (_rule(phase, "550 Unknown user neko@docomo.ne.jp") for phase in (Phase.RCPT, Phase.DOT))
    assert (at_rcpt.bounce_class, at_rcpt.suppress, at_rcpt.path) == (
        Class.UNKNOWN_USER,
        "UNKNOWN_USER",
        PathWord.NEUTRAL,
    )
    assert (at_dot.kind, at_dot.bounce_class, at_dot.suppress) == (Kind.BOUNCED, Class.FILTERED, "")
    # Filtered is no reason to suppress, but one to go slower.
    assert at_dot.path is PathWord.SLOWER


def test_yahoo_japans_553_that_says_deferred_is_for_now() -> None:
    ruling = _rule(Phase.MAIL, "553 Mail from 192.0.2.1 not allowed - VS98-IP0 deferred - see help")
    assert (ruling.kind, ruling.path, ruling.pause_seconds) == (Kind.DEFERRED, PathWord.PAUSE, 3600)
    assert (ruling.rule, ruling.due) == ("yahoo-japan-553-deferred", _due(1200))


def test_a_bad_sequence_is_the_sessions_fault() -> None:
    ruling = _rule(Phase.RCPT, "503 Bad sequence of commands")
    assert (ruling.kind, ruling.close_session, ruling.path) == (Kind.DEFERRED, True, PathWord.FAILURE)


def test_too_many_messages_over_one_connection_needs_another_and_no_rest() -> None:
    ruling = _rule(Phase.MAIL, "452 4.3.2 Too many messages in this session")
    assert (ruling.close_session, ruling.path, ruling.pause_seconds) == (True, PathWord.NEUTRAL, 0)


@pytest.mark.parametrize("reply", ["550 5.2.1 The mailbox is disabled", "550 5.7.17 Mailbox owner has changed"])
def test_closed_and_handed_on_mailboxes_are_suppressed(reply: str) -> None:
    assert _rule(Phase.RCPT, reply).suppress == "UNKNOWN_USER"


def test_nobody_is_suppressed_for_a_reply_before_rcpt_or_for_now() -> None:
    assert not _rule(Phase.MAIL, "551 5.1.6 moved").suppress
    assert not _rule(Phase.RCPT, "450 4.1.1 User unknown").suppress
    assert not _rule(Phase.DOT, "552 5.2.2 Mailbox full").suppress


def test_one_senders_broken_authentication_does_not_stop_the_path() -> None:
    ruling = _rule(Phase.DOT, "550 5.7.26 unauthenticated")
    assert (ruling.kind, ruling.path, ruling.pause_seconds) == (Kind.BOUNCED, PathWord.NEUTRAL, 0)


def test_our_own_refusal_says_nothing_of_the_path() -> None:
    ruling = _rule(Phase.MAIL, "552 5.3.4 local: the message exceeds the SIZE that the server offers")
    assert (ruling.kind, ruling.path, ruling.close_session) == (Kind.BOUNCED, PathWord.NEUTRAL, False)


def test_a_refusal_of_one_senders_name_stops_that_sender_there_and_nobody_else() -> None:
    reply = Reply(421, "4.7.0", "suspicious due to the very low reputation of the sending domain")
    attempt = Attempt(Phase.DOT, reply, "", 0, 0.0, 1000, "gmail")
    ruling = rule(attempt, now=0.0, u=0.0, ladder=Ladder(), rules=RULES)
    assert (ruling.suspend_sender, ruling.pause_seconds, ruling.path) == (3600.0, 0.0, PathWord.NEUTRAL)
    hard = Attempt(Phase.DOT, Reply(550, "5.7.26", "unauthenticated"), "", 0, 0.0, 1000, "gmail")
    assert rule(hard, now=0.0, u=0.0, ladder=Ladder(), rules=RULES).suspend_sender == 3600.0
