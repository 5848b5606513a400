from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

import engine.policy
from engine.policy import classify
from engine.policy.classify import SCOPES, Class, Rule, Rules, Scope, normalise, retry_hint
from engine.policy.rules import compile_rules, read_reply
from engine.smtp.reply import Reply
from engine.smtp.session import Phase


def _rule(name: str, bounce_class: Class = Class.POLICY, **given: object) -> Rule:
    facts: dict[str, object] = {
        "codes": frozenset({5}),
        "enhanced": (),
        "phases": frozenset(Phase),
        "words": (),
        "temporary": False,
        "pause": None,
    }
    return Rule(name, bounce_class, **(facts | given))  # type: ignore[arg-type]


def _name(rules: Rules, phase: Phase, reply: Reply) -> str:
    found = rules.match(phase, reply)
    return found.name if found else ""


def test_the_first_that_matches_decides() -> None:
    rules = Rules([_rule("a", codes=frozenset({551})), _rule("b"), _rule("c")])
    assert _name(rules, Phase.RCPT, Reply(550, "", "no")) == "b"
    assert _name(rules, Phase.RCPT, Reply(551, "", "no")) == "a"
    assert _name(rules, Phase.RCPT, Reply(450, "", "no")) == ""
    assert _name(rules, Phase.RCPT, Reply(250, "", "yes")) == ""


def test_phase() -> None:
    rules = Rules([_rule("a", phases=frozenset({Phase.RCPT})), _rule("b", phases=frozenset({Phase.DOT}))])
    assert [_name(rules, phase, Reply(550, "", "no")) for phase in (Phase.RCPT, Phase.DOT, Phase.MAIL)] == [
        "a",
        "b",
        "",
    ]


def test_enhanced_codes_begin_at_their_dots() -> None:
    rules = Rules([_rule("a", enhanced=("5.1.1.",)), _rule("b", enhanced=("5.1.",))])
    assert _name(rules, Phase.RCPT, Reply(550, "5.1.1", "no")) == "a"
    assert _name(rules, Phase.RCPT, Reply(550, "5.1.10", "no")) == "b"
    assert _name(rules, Phase.RCPT, Reply(550, "5.10.1", "no")) == ""
    assert _name(rules, Phase.RCPT, Reply(550, "", "no")) == ""


def test_words_in_their_order_and_alternatives() -> None:
    rules = Rules([_rule("a", words=((False, ("neko", "nyaan")), (False, ("inu",))))])
    for text, name in [("neko, nyaan", "a"), ("nyaan, neko", ""), ("inu", "a"), ("nekonyaan", "a"), ("nekonya", "")]:
        assert _name(rules, Phase.RCPT, Reply(550, "", text)) == name


def test_words_that_open_the_text() -> None:
    rules = Rules([_rule("a", words=((True, (": user", "unknown")),))])
    assert _name(rules, Phase.RCPT, Reply(550, "", ": User unknown")) == "a"
    assert _name(rules, Phase.RCPT, Reply(550, "", "<a@example.jp>: User unknown")) == ""


def test_a_word_may_not_be_used_twice() -> None:
    rules = Rules([_rule("a", words=((False, ("neko", "neko")),))])
    assert _name(rules, Phase.RCPT, Reply(550, "", "neko")) == ""
    assert _name(rules, Phase.RCPT, Reply(550, "", "nekoneko")) == "a"


def test_our_own_replies_feed_no_rule() -> None:
    rules = Rules([_rule("a")])
    assert rules.match(Phase.MAIL, Reply(552, "5.3.4", "local: the message exceeds SIZE")) is None


def test_normalised_text_is_one_line_without_repeated_codes() -> None:
    text = "5.1.1 The  account\n5.1.1 you tried\t\r to reach\n5.1.10 is not"
    assert normalise(Reply(550, "5.1.1", text)) == "the account you tried to reach 0 is not"
    assert normalise(Reply(550, "", "No\nNEKO")) == "no neko"


def test_only_the_first_kib_is_read() -> None:
    assert len(normalise(Reply(550, "", "x" * 100_000))) == 1024


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Greylisted, please try again in 300 seconds", 300),
        ("Greylisted for 5 minutes", 300),
        ("Greylisting in action, please come back in 00:05:00", 300),
        ("4.7.1 Try again in 5 min", 300),
        ("try AGAIN after 90s", 90),
        ("Please retry in 1 hour 30 minutes", 5400),
        ("please wait 1 hour, and 30 minutes", 5400),
        ("Message delayed.\nCome back in\n2 hours.", 7200),
        ("retry-after: 60 secs", 60),
        ("deferred: 1 day", 86400),
        ("try again in 30 days", 86400),
        ("try again in 12:00:00", 43200),
        ("over 100 in 60 seconds, please try again after 5 minutes", 300),
    ],
)
def test_hints(text: str, seconds: int) -> None:
    assert retry_hint(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "try again later",
        "Greylisted, see http://postgrey.schweikert.ch/help/example.jp.html",
        "try again in 0 seconds",
        "try again in 300",
        "try again in 5 microseconds",
        "300 seconds",
        "at most 100 messages in 60 seconds, try again later",
        "try again, your limit is 100 per 60 seconds",
        "try again " + "x" * 41 + " 60 seconds",
        "1s; 1s; 1s; 1s; try again in 60 seconds",
        "x" * 1024 + "try again in 60 seconds",
    ],
)
def test_no_hints(text: str) -> None:
    assert retry_hint(text) is None


def test_a_hint_has_no_limit_of_digits_to_choke_on() -> None:
    assert retry_hint("try again in 9999999 seconds") is None
    assert retry_hint("try again in 999999 seconds") == 86400


def test_the_hint_pattern_repeats_nothing_without_a_bound() -> None:
    # An unbounded repetition over hostile text is how a pattern stops being linear.
    assert not set("*+") & set(classify._TIME.pattern + classify._ASKED.pattern)


# -- scope and provider ------------------------------------------------------------------------------------------

SHIPPED_RULES = compile_rules((Path(engine.policy.__file__).parent / "rules.toml").read_text("utf-8"))


@pytest.mark.parametrize(
    ("provider", "phase", "line", "name"),
    [
        ("docomo", Phase.RCPT, "550 Unknown user neko@docomo.ne.jp", "docomo-unknown-user"),
        ("docomo", Phase.DOT, "550 Unknown user neko@docomo.ne.jp", "docomo-filtered"),
        ("", Phase.DOT, "550 Unknown user neko@docomo.ne.jp", "docomo-filtered"),
        ("gmail", Phase.RCPT, "550 Unknown user neko@gmail.com", "unknown-user"),
        ("au", Phase.RCPT, "550 <neko@au.com>: User unknown", "au-unknown-user"),
        ("au", Phase.DOT, "550 : User unknown", "au-filtered"),
        (
            "yahoo-japan",
            Phase.GREETING,
            "553 Mail from 192.0.2.1 not allowed - VS98-IP0 deferred",
            "yahoo-japan-553-deferred",
        ),
        ("softbank", Phase.RCPT, "550 Invalid recipient: <neko@softbank.ne.jp>", "softbank-unknown-user"),
        ("softbank", Phase.MAIL, "553 neko.example does not exist", "softbank-sender-domain"),
    ],
)
def test_a_providers_words_are_its_own(provider: str, phase: Phase, line: str, name: str) -> None:
    found = SHIPPED_RULES.match(phase, read_reply(line), provider)
    assert found is not None
    assert found.name == name


def test_every_class_has_a_scope_and_rules_may_say_another() -> None:
    assert SCOPES.keys() == set(Class)
    by_name = {rule.name: rule for rule in SHIPPED_RULES.rules}
    assert by_name["google-very-low-reputation"].scope is Scope.SENDER
    assert by_name["google-unusual-rate"].scope is Scope.SOURCE


def test_providers_of_rules_are_those_of_the_shaping() -> None:
    shaping = tomllib.loads((Path(engine.policy.__file__).parent / "shaping.toml").read_text("utf-8"))
    named = {name for rule in SHIPPED_RULES.rules for name in rule.providers}
    assert named <= shaping["provider"].keys()
