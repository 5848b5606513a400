"""Whatever a server says, in whatever phase, the ruling keeps to its laws: no reply can crash, stop or empty us."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

import engine.policy
from engine.policy.backoff import Ladder
from engine.policy.outcome import Attempt, Kind, PathWord, Refusal, rule, rule_connect
from engine.policy.rules import compile_rules
from engine.smtp.reply import Reply
from engine.smtp.session import Phase

RULES = compile_rules((Path(engine.policy.__file__).parent / "rules.toml").read_text("utf-8"))
NOW = 1_800_000_000.25

_WORDS = st.sampled_from(
    [
        "user",
        "unknown",
        "try again in 5 minutes",
        "try again in 999999 days",
        "quota",
        "rate limit",
        "<",
        ">",
        "too many",
        "connections",
        "recipients",
        "spamhaus",
        "deferred",
        "not allowed - vs",
        "5.1.1",
        "local:",
        "mailbox full",
        "\n",
        "\x1b",
    ]
)
_TEXTS = st.lists(_WORDS, max_size=12).map(" ".join) | st.text(max_size=200)
_ENHANCED = st.just("") | st.builds("{}.{}.{}".format, st.sampled_from("245"), st.integers(0, 9), st.integers(0, 999))
_REPLIES = st.none() | st.builds(Reply, st.integers(200, 599), _ENHANCED, _TEXTS)
_PHASES = st.sampled_from(list(Phase))
_LADDERS = st.builds(Ladder, st.floats(1, 7200), st.floats(7200, 86400), st.floats(0, 0.5))
_EXPIRES = st.integers(int(NOW) - 10, int(NOW) + 864000)
_U = st.floats(0.0, 1.0, exclude_max=True)
_COUNTS = st.integers(0, 500)
_ATTEMPTS = st.builds(Attempt, _PHASES, _REPLIES, st.sampled_from(["", "lost"]), _COUNTS, st.just(NOW - 5), _EXPIRES)
_REFUSALS = st.builds(
    Refusal, _PHASES, _REPLIES, st.just(""), st.booleans(), _COUNTS, st.floats(NOW - 1e6, NOW), _EXPIRES, st.booleans()
)


@settings(max_examples=120, deadline=None)
@given(_ATTEMPTS, _U, _LADDERS)
def test_a_ruling_keeps_the_laws(attempt: Attempt, u: float, ladder: Ladder) -> None:
    phase, reply, error, expires = attempt.phase, attempt.reply, attempt.error, attempt.expires
    ruling = rule(attempt, now=NOW, u=u, ladder=ladder, rules=RULES)
    code = 0 if reply is None else reply.code
    believed = reply is not None and (not error or code == 421)
    assert (ruling.kind is Kind.DELIVERED) == (phase is Phase.DOT and believed and 200 <= code < 300)
    assert (ruling.kind is Kind.BOUNCED) <= (believed and code >= 500)
    assert (ruling.kind is Kind.EXPIRED) <= (expires <= NOW)
    assert (ruling.kind is Kind.DEFERRED) <= (NOW < ruling.due <= expires)
    assert bool(ruling.suppress) <= (ruling.kind is Kind.BOUNCED and phase in {Phase.RCPT, Phase.DATA, Phase.DOT})
    assert ruling.in_doubt == (
        phase is Phase.DOT and ruling.kind is not Kind.DELIVERED and not (believed and code >= 400)
    )
    assert (ruling.path is PathWord.PAUSE) == (ruling.pause_seconds > 0)
    assert 0 <= ruling.pause_seconds <= 7200
    assert ruling.close_session or (believed and code != 421)


@settings(max_examples=100, deadline=None)
@given(_REFUSALS, _U, _LADDERS)
def test_no_session_never_ends_a_recipient_before_its_time(refusal: Refusal, u: float, ladder: Ladder) -> None:
    expires = refusal.expires
    ruling = rule_connect(refusal, now=NOW, u=u, ladder=ladder, rules=RULES)
    assert ruling.kind is not Kind.DELIVERED
    assert (ruling.kind is Kind.BOUNCED) <= refusal.final
    assert (ruling.kind is Kind.EXPIRED) <= (expires <= NOW)
    assert (ruling.kind is Kind.DEFERRED) <= (NOW < ruling.due <= expires)
    assert not ruling.suppress
    assert 0 <= ruling.pause_seconds <= 7200
