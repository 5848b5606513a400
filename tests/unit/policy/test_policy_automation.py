from __future__ import annotations

import math
from typing import Any

import pytest

from engine.policy import automation as module
from engine.policy.automation import (
    Action,
    ActionKind,
    Automation,
    AutomationRule,
    Back,
    Where,
    read_automation,
    text_of,
)
from engine.policy.brake import Brake, normal_of, rate_of
from engine.policy.limits import Limits
from engine.policy.throttle import Rate
from engine.smtp.reply import Reply

HERE = Where("out->mx", "mx", "docomo.ne.jp", "docomo")


def rule(level: str = "default", scope: str = "", **table: Any) -> AutomationRule:
    read = read_automation({"regex": "nyaan", "action": "Suspend", "duration": "10m", **table}, "a[0]", level, scope)
    assert isinstance(read, AutomationRule), read
    return read


def errors(**table: Any) -> list[str]:
    read = read_automation({"regex": "nyaan", "action": "Suspend", "duration": "10m", **table}, "a[0]", "default", "")
    assert isinstance(read, list)
    return read


def test_what_kumomtas_users_write_is_read() -> None:
    read = rule(
        regex=["a", "b"],
        action=["Suspend", {"SetConfig": {"name": "max_message_rate", "value": "1/min"}}],
        trigger={"Threshold": "2/hr"},
        duration="90m",
        mark="custom",
    )
    assert read.patterns == ("a", "b")
    assert read.actions == (Action(ActionKind.SUSPEND), Action(ActionKind.SET, "max_message_rate", 1 / 60))
    assert (read.count, read.seconds, read.duration, read.back) == (2, 3600, 5400, None)
    assert (rule().count, rule(trigger="Immediate").seconds) == (1, 0.0)
    assert rule(action="SuspendTenant").actions == rule(action="SuspendSender").actions
    assert rule(back={"connection_limit": 1, "step": 2}).back == Back("connection_limit", 1.0, 2.0)


@pytest.mark.parametrize(
    ("table", "error"),
    [
        ({"regex": None}, "a[0].regex: None: write a regular expression"),
        ({"regex": ""}, "a[0].regex: '': write a regular expression"),
        ({"regex": ["x"] * 65}, "write a regular expression"),
        ({"regex": "(a"}, "a[0].regex: '(a': no regular expression of RE2: missing ): (a"),
        ({"regex": r"(a)\1"}, "no regular expression of RE2"),
        ({"action": None}, "a[0].action: None: write one of Suspend, SuspendSite"),
        ({"action": []}, "write one action, or a list of at most 8"),
        ({"action": "Bounce"}, "write one of Suspend, SuspendSite"),
        ({"action": {"SetConfig": {"name": "max_ready", "value": 1}}}, "'max_ready' cannot be changed by a rule"),
        ({"action": {"SetConfig": {"name": "connection_limit", "value": 0}}}, "write a whole number from 1"),
        ({"action": {"SetConfig": {"name": "max_message_rate", "value": 1}}}, "write a rate such as"),
        ({"action": {"ScaleConfig": {"name": "connection_limit", "factor": 1}}}, "write a factor between 0 and 1"),
        ({"action": {"SetConfig": {"name": "connection_limit"}}}, "write one of Suspend"),
        ({"trigger": {"Threshold": "0/hr"}}, 'write "Immediate", or {Threshold = "10/hr"}'),
        ({"trigger": {"Threshold": "5/era"}}, 'write "Immediate", or {Threshold = "10/hr"}'),
        ({"trigger": 1}, 'write "Immediate", or {Threshold = "10/hr"}'),
        ({"duration": None}, "a[0].duration: None"),
        ({"duration": "8 days"}, "write a duration from 1 second to 7 days"),
        ({"back": 1}, "write {connection_limit = 1, step = 1}"),
        ({"back": {"connection_limit": 1, "step": 1, "successes": 0}}, "deliveries for one step"),
        ({"back": {"connection_limit": 1, "step": 1, "successes": True}}, "deliveries for one step"),
        ({"back": {"connection_limit": 1, "step": 1, "successes": 1000001}}, "deliveries for one step"),
        ({"back": {"connection_limit": 1}}, "write {connection_limit = 1, step = 1}"),
        (
            {"back": {"connection_limit": 1, "max_message_rate": "1/s", "step": 1}},
            "write {connection_limit = 1, step = 1}",
        ),
        ({"nyaan": 1}, "a[0].nyaan: unknown key; known are action, back, duration"),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(table: dict[str, Any], error: str) -> None:
    (found,) = errors(**table)
    assert error in found
    assert found.isprintable()


def test_all_errors_at_once() -> None:
    assert len(errors(regex=1, action=1, duration=1e9, trigger=1, back=1, nyaan=1)) == 6
    assert read_automation(1, "a[0]", "default", "") == ["a[0]: 1 is not a table; write [[automation]] tables"]


def test_a_pattern_sees_code_enhanced_code_and_text_on_one_line() -> None:
    assert text_of(Reply(421, "4.7.28", "one\n two\t three")) == "421 4.7.28 one two three"
    assert text_of(Reply(421, "", "\ud800")) == "421 ?"
    watch = Automation([rule(regex=r"^421 4\.7\.28 one two$")])
    assert watch.observe(Reply(421, "4.7.28", "one\ntwo"), HERE, 0.0)
    assert not watch.observe(Reply(421, "4.7.28", "one\ntwo three"), HERE, 0.0)
    assert not watch.observe(Reply(0, "", "connection lost"), HERE, 0.0)
    assert not Automation().observe(Reply(421, "", "x"), HERE, 0.0)


@pytest.mark.parametrize(
    ("level", "scope", "fires"),
    [
        ("default", "", True), ("provider", "docomo", True), ("provider", "au", False), ("site", "mx", True),
        ("site", "other", False), ("domain", "docomo.ne.jp", True), ("domain", "x.jp", False),
    ],
)  # fmt: skip
def test_a_rule_holds_where_it_stands(level: str, scope: str, fires: bool) -> None:
    assert bool(Automation([rule(level, scope)]).observe(Reply(421, "", "nyaan"), HERE, 0.0)) is fires


def test_several_rules_fire_in_their_order_each_once() -> None:
    rules = [rule(regex=["a", "a|b"]), rule(regex="x"), rule(regex="b")]
    assert Automation(rules).observe(Reply(421, "", "ab"), HERE, 0.0) == [rules[0], rules[2]]


def test_a_threshold_counts_by_path_within_its_time_and_begins_again() -> None:
    watch = Automation([rule(trigger={"Threshold": "3/min"})])
    reply = Reply(421, "", "nyaan")
    other = Where("other->mx", "mx", "", "")
    assert [bool(watch.observe(reply, HERE, now)) for now in (0.0, 30.0, 61.0)] == [False, False, False]
    assert not watch.observe(reply, other, 61.0)
    assert watch.observe(reply, HERE, 62.0)
    assert not watch.observe(reply, HERE, 63.0)
    assert not watch.observe(reply, HERE, 64.0)
    assert watch.observe(reply, HERE, 65.0)


def test_what_it_remembers_is_bounded() -> None:
    watch = Automation([rule(trigger={"Threshold": "2/d"})])
    for number in range(module.MOST_REMEMBERED + 1):
        assert not watch.observe(Reply(421, "", "nyaan"), Where(str(number), "", "", ""), 0.0)
    assert not watch.observe(Reply(421, "", "nyaan"), Where("0", "", "", ""), 1.0), (
        "the longest untouched was forgotten"
    )
    assert watch.observe(Reply(421, "", "nyaan"), Where("2", "", "", ""), 1.0)


# -- the brake -------------------------------------------------------------------------------------------------

NORMAL = normal_of(Limits(connection_limit=4, max_message_rate=Rate(600, 60, 600)))


def test_googles_procedure_one_connection_and_one_more_for_each_success() -> None:
    brake = Brake(dict(NORMAL))
    brake.begin_back(rule(back={"connection_limit": 1, "step": 1}), until=600.0)
    assert brake.value("connection_limit") == 1
    assert not brake.success(599.0), "nothing rises while it rests"
    risen = []
    while brake.changes:
        assert brake.success(601.0)
        risen.append(brake.value("connection_limit"))
    assert risen == [2, 3, 4]
    assert not brake.success(602.0)
    brake.begin_back(rule(), until=600.0)
    assert not brake.changes, "a rule without a way back leaves nothing"


def deliveries_until_a_change(brake: Brake, now: float = 60.0) -> int:
    for count in range(1, 10_000):
        if brake.success(now):
            return count
    raise AssertionError


def test_a_rate_rises_by_successes_and_never_by_the_clock() -> None:
    """A cohort is what the rate lets through in a minute, so that at full pace it is a step a minute."""
    brake = Brake(dict(NORMAL))
    brake.begin_back(rule(back={"max_message_rate": "1/s", "step": "4/s"}), until=0.0)
    assert not any(brake.success(now) for now in (60.0, 3600.0, 86_400.0)), "time alone lifts nothing"
    assert deliveries_until_a_change(brake) == 60 - 3
    assert brake.value("max_message_rate") == 5
    assert deliveries_until_a_change(brake) == 5 * 60
    assert brake.value("max_message_rate") == 9
    assert deliveries_until_a_change(brake) == 9 * 60
    assert (brake.value("max_message_rate"), brake.changes) == (10, {})


def test_a_very_slow_rate_rises_with_each_success() -> None:
    brake = Brake(dict(NORMAL))
    brake.begin_back(rule(back={"max_message_rate": "1/hr", "step": "1/min"}), until=0.0)
    assert deliveries_until_a_change(brake) == 1
    assert deliveries_until_a_change(brake) == 2


def test_a_rule_names_its_cohort() -> None:
    for back, counts in (
        ({"connection_limit": 1, "step": 1, "successes": 20}, [20, 20, 20]),
        ({"max_message_rate": "7/s", "step": "1/s", "successes": 5}, [5, 5, 5]),
    ):
        brake = Brake(dict(NORMAL))
        brake.begin_back(rule(back=back), until=0.0)
        assert [deliveries_until_a_change(brake) for _ in counts] == counts
        assert not brake.changes


def test_a_new_match_counts_its_successes_anew() -> None:
    brake = Brake(dict(NORMAL))
    one = rule(back={"connection_limit": 1, "step": 1, "successes": 3})
    for _ in range(2):
        brake.begin_back(one, until=0.0)
        assert not brake.success(1.0)
        assert not brake.success(1.0)
    assert brake.success(1.0)


def test_set_and_scale_hold_for_their_duration_and_a_new_match_begins_anew() -> None:
    brake = Brake(dict(NORMAL))
    one = rule(action={"ScaleConfig": {"name": "max_message_rate", "factor": 0.5}})
    brake.apply(one, one.actions[0], 0.0)
    brake.apply(one, one.actions[0], 100.0)
    assert brake.value("max_message_rate") == 2.5
    assert not brake.expire(699.0)
    assert brake.expire(700.0)
    assert brake.value("max_message_rate") == 10
    more = rule(
        action={"SetConfig": {"name": "connection_limit", "value": 99}}, back={"connection_limit": 1, "step": 1}
    )
    brake.apply(more, more.actions[0], 0.0)
    assert brake.value("connection_limit") == 4, "never above the limits"
    assert not brake.expire(1e9), "what rises does not expire"


def test_a_path_without_a_limit_has_a_limit_to_rise_to() -> None:
    normal = normal_of(Limits(max_message_rate=None))
    assert normal["max_message_rate"] == math.inf
    brake = Brake(normal)
    one = rule(
        action={"ScaleConfig": {"name": "max_message_rate", "factor": 0.5}},
        back={"max_message_rate": "1/s", "step": "60/s"},
    )
    brake.apply(one, one.actions[0], 0.0)
    assert brake.value("max_message_rate") == 50
    assert deliveries_until_a_change(brake, 700.0) == 50 * 60
    assert not brake.changes


def test_a_rate_for_a_throttle() -> None:
    assert rate_of(math.inf) is None
    assert rate_of(1 / 60) == Rate(60, 3600, 1)
    assert rate_of(12.5) == Rate(45000, 3600, 13)
    brake = Brake(dict(NORMAL))
    one = rule(action={"ScaleConfig": {"name": "max_message_rate", "factor": 0.01}})
    for _ in range(9):
        brake.apply(one, one.actions[0], 0.0)
    assert rate_of(brake.value("max_message_rate")) == Rate(1, 3600, 1), "slow, and never nothing"


def test_a_brake_under_other_limits() -> None:
    brake = Brake(dict(NORMAL))
    brake.adopt({**NORMAL, "connection_limit": 1.0})
    assert brake.value("connection_limit") == 1.0
