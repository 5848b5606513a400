from __future__ import annotations

import pytest

from engine.policy.classify import Class, Rules
from engine.policy.rules import RulesError, compile_rules, read_reply
from engine.smtp.reply import Reply
from engine.smtp.session import Phase

GOOD = """
[[rule]]
name = "a"
class = "rate"
codes = [421, 5]
enhanced = ["X.7.28", "4.1.*"]
phases = ["RCPT", "DOT"]
words = ["^Too  MUCH * mail", "enough"]
temporary = true
pause = 60
reply = "550 5.7.28 Too much, really too much mail"
at = "DOT"
"""
PLAIN = '[[rule]]\nname = "b"\nclass = "policy"\ncodes = [550]\nreply = "550 No"\n'


def _errors(text: str) -> tuple[str, ...]:
    with pytest.raises(RulesError) as caught:
        compile_rules(text)
    assert str(caught.value) == "\n".join(caught.value.errors)
    return caught.value.errors


def test_everything_a_rule_can_say() -> None:
    (rule,) = compile_rules(GOOD).rules
    assert (rule.name, rule.bounce_class, rule.temporary, rule.pause) == ("a", Class.RATE, True, 60.0)
    assert rule.codes == {421, 5}
    assert rule.enhanced == ("4.7.28.", "5.7.28.", "4.1.")
    assert rule.phases == {Phase.RCPT, Phase.DOT}
    assert rule.words == ((True, ("too much", "mail")), (False, ("enough",)))


def test_the_least_a_rule_can_say() -> None:
    (rule,) = compile_rules(PLAIN).rules
    assert (rule.enhanced, rule.words, rule.temporary, rule.pause) == ((), (), False, None)
    assert rule.phases == frozenset(Phase)


def test_no_rules_are_rules() -> None:
    assert compile_rules("").rules == ()


def test_the_example_is_tried_in_the_first_phase_of_the_transaction_that_the_rule_allows() -> None:
    compile_rules(PLAIN + 'phases = ["DOT"]\n' + PLAIN.replace('"b"', '"c"') + 'phases = ["RCPT"]\n')
    compile_rules(PLAIN + 'phases = ["MAIL"]\n')


def test_a_rule_that_does_not_match_its_own_reply_is_refused() -> None:
    assert _errors(PLAIN.replace('"550 No"', '"450 No"')) == (
        "rules.b: its own reply at RCPT is matched by no rule; correct it or move it up",
    )


def test_a_rule_that_can_never_be_reached_is_refused() -> None:
    assert _errors(PLAIN + PLAIN.replace('"b"', '"c"')) == (
        "rules.c: its own reply at RCPT is matched by the rule b before it; correct it or move it up",
    )


def test_names_are_unique() -> None:
    assert _errors(PLAIN + PLAIN) == ("rules.b: this name stands twice",)


def test_not_toml() -> None:
    (error,) = _errors("[[rule")
    assert error.startswith("rules: not TOML: ")


@pytest.mark.parametrize("text", ["rule = 1", "[rule]", "rule = [" + "1," * 2001 + "]"])
def test_not_a_list_of_rules(text: str) -> None:
    assert _errors(text) == ("rules: rule is not a list; write each rule as [[rule]], at most 2000",)


def test_a_rule_that_is_no_table() -> None:
    errors = _errors("rule = [1]")
    assert errors[1] == "rules.1.name: 1: write a text of 1 to 1000 characters"


@pytest.mark.parametrize(
    ("key", "value", "remedy"),
    [
        ("name", "1", "write a text"),
        ("name", '""', "write a text"),
        ("reply", "1", "write a text"),
        ("class", '"nyaan"', "write one of unknown_user, "),
        ("providers", '"docomo"', "write a list of providers"),
        ("providers", "[1]", "write a list of providers"),
        ("scope", '"nyaan"', "write one of recipient, "),
        ("class", "1", "write one of unknown_user, "),
        ("codes", "[]", "write a list of reply codes"),
        ("codes", "550", "write a list of reply codes"),
        ("codes", '["550"]', "write a list of reply codes"),
        ("codes", "[250]", "write a list of reply codes"),
        ("codes", "[6]", "write a list of reply codes"),
        ("codes", "[true]", "write a list of reply codes"),
        ("enhanced", '"5.1.1"', "write a list such as"),
        ("enhanced", '["2.1.1"]', "write a list such as"),
        ("enhanced", '["5.*"]', "write a list such as"),
        ("enhanced", "[5]", "write a list such as"),
        ("phases", '["NEKO"]', "write a list of CONNECT"),
        ("phases", "[]", "write a list of CONNECT"),
        ("phases", "[1]", "write a list of CONNECT"),
        ("at", '["RCPT"]', "write one of CONNECT"),
        ("words", '"neko"', "write a list of at most 64"),
        ("words", '["ne"]', "write a list of at most 64"),
        ("words", "[1]", "write a list of at most 64"),
        ("words", '["***"]', "write a list of at most 64"),
        ("words", '["n*n*n*n*n*n*n*n*n*n"]', "write a list of at most 64"),
        ("words", "[" + '"neko",' * 65 + "]", "write a list of at most 64"),
        ("temporary", "1", "write true or false"),
        ("pause", "-1", "write whole seconds"),
        ("pause", "1.5", "write whole seconds"),
        ("pause", "true", "write whole seconds"),
        ("pause", "86401", "write whole seconds"),
    ],
)
def test_what_is_wrong_is_named(key: str, value: str, remedy: str) -> None:
    lines = [line for line in GOOD.splitlines() if not line.startswith(f"{key} =")]
    errors = _errors("\n".join([*lines, f"{key} = {value}"]))
    assert len(errors) == 1
    assert f".{key}: " in errors[0]
    assert remedy in errors[0]


@pytest.mark.parametrize("key", ["name", "class", "codes", "reply"])
def test_what_is_missing_is_named(key: str) -> None:
    (error,) = _errors("\n".join(line for line in PLAIN.splitlines() if not line.startswith(key)))
    assert f".{key}: None: write" in error


def test_where_a_wording_is_published_is_text() -> None:
    assert compile_rules(PLAIN + 'source = "postmaster.example.jp"\n').rules
    (error,) = _errors(PLAIN + "source = 3\n")
    assert error.startswith("rules.b.source: 3: write")


def test_all_errors_at_once_and_escaped() -> None:
    errors = _errors('[[rule]]\nname = "n\\u001b"\nclass = "x"\nfoo = 1\ncodes = []\n"\\u001b" = 2')
    assert [error.split(": ")[0] for error in errors] == [
        "rules.n\\x1b.foo",
        "rules.n\\x1b.\\x1b",
        "rules.n\\x1b.reply",
        "rules.n\\x1b.class",
        "rules.n\\x1b.codes",
    ]


def test_read_reply() -> None:
    assert read_reply("550 5.1.1 No") == Reply(550, "5.1.1", "No")
    assert read_reply("550-5.1.1 No") == Reply(550, "5.1.1", "No")
    assert read_reply("550 5.1.1") == Reply(550, "5.1.1", "")
    assert read_reply("550 No") == Reply(550, "", "No")
    assert read_reply("Neko") == Reply(0, "", "Neko")


def test_a_rule_without_a_name_is_named_by_its_number() -> None:
    assert _errors(PLAIN.replace('name = "b"', "name = 3"))[0].startswith("rules.1.name: 3: ")


def test_rules_can_be_put_in_front() -> None:
    first, second = compile_rules(GOOD), compile_rules(PLAIN)
    both = Rules((*first.rules, *second.rules))
    assert both.match(Phase.RCPT, Reply(550, "5.7.28", "enough")) is first.rules[0]
    assert both.match(Phase.RCPT, Reply(550, "", "enough")) is second.rules[0]


def test_a_table_with_rules_taken_out_is_read_unchecked() -> None:
    text = """
[[rule]]
name = "first"
class = "policy"
codes = [5]
reply = "550 anything"

[[rule]]
name = "never"
class = "content"
codes = [5]
words = ["spam"]
reply = "550 spam"
"""
    with pytest.raises(RulesError, match=r"rules\.never: its own reply"):
        compile_rules(text)
    assert len(compile_rules(text, check_replies=False).rules) == 2
