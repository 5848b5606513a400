"""Automation as data: [[automation]] tables say which replies make a path slower or rest, and how it comes back.

Keys and actions are KumoMTA's (regex, action, trigger, duration), so that its users' rules can be pasted; `back` is
ours: what holds after the rest, and by which steps successes lift it. Patterns come from operators and texts from
strangers, so matching is RE2's, linear in the text whatever the pattern. Our own replies ("local: ...") never get
here: a rule must not feed on its own effect. Pure: replies in, what fires out; what has to be remembered is bounded.
"""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import re2

from engine.policy.duration import SECONDS, parse_duration
from engine.policy.throttle import Rate
from engine.smtp.reply import Reply

MOST_RULES: Final = 1000
MOST_REMEMBERED: Final = 20_000
"""Paths times rules whose thresholds are being counted; the longest untouched are forgotten first."""
TEXT_LIMIT: Final = 1024
_MEMORY: Final = 8 << 20


class ActionKind(StrEnum):
    SUSPEND = "Suspend"
    """This source sends nothing to this site."""
    SUSPEND_SITE = "SuspendSite"
    """No source sends anything to this site."""
    SUSPEND_SENDER = "SuspendSender"
    """This sender sends nothing to this site. KumoMTA's SuspendTenant."""
    SET = "SetConfig"
    SCALE = "ScaleConfig"


@dataclass(frozen=True, slots=True)
class Action:
    kind: ActionKind
    key: str = ""
    """Of SetConfig and ScaleConfig: one of CHANGEABLE."""
    value: float = 0.0
    """The new value (rates: a second), or the factor."""


@dataclass(frozen=True, slots=True)
class Back:
    """What holds after the rest, until successes have lifted it by `step` each to the normal value again."""

    key: str
    value: float
    step: float
    successes: int = 0
    """Deliveries for one step; 0: as brake.py counts them."""


@dataclass(frozen=True, slots=True)
class AutomationRule:
    name: str
    """Where it stands, for people: "provider.gmail.automation[0]"."""
    level: str
    """default, provider, site or domain."""
    scope: str
    """The name at that level; empty: everywhere."""
    patterns: tuple[str, ...]
    actions: tuple[Action, ...]
    count: int
    """Matches within `seconds` that make it fire; 1: at once."""
    seconds: float
    duration: float
    back: Back | None


@dataclass(frozen=True, slots=True)
class Where:
    """On which path the reply came."""

    path: str
    site: str
    domain: str
    provider: str


class Automation:
    __slots__ = ("_owners", "_seen", "_set", "rules")

    def __init__(self, rules: Iterable[AutomationRule] = ()) -> None:
        self.rules: Final = tuple(rules)
        self._seen: Final[OrderedDict[tuple[int, str], deque[float]]] = OrderedDict()
        self._owners: Final[list[int]] = []
        self._set: Final = re2.Set.SearchSet(_options())
        for number, rule in enumerate(self.rules):
            for pattern in rule.patterns:
                self._set.Add(pattern)
                self._owners.append(number)
        if self._owners:
            self._set.Compile()

    def observe(self, reply: Reply, where: Where, now: float) -> list[AutomationRule]:
        """The rules that fire, in their order. Cost: some µs, for refusals only."""
        if not self._owners or reply.text[:6].lower() == "local:" or not reply.code:
            return []
        found = self._set.Match(text_of(reply)) or ()  # None: nothing, or more memory than it may have
        numbers = sorted({self._owners[index] for index in found})
        return [self.rules[number] for number in numbers if self._fires(number, where, now)]

    def _fires(self, number: int, where: Where, now: float) -> bool:
        rule = self.rules[number]
        if rule.scope and rule.scope != getattr(where, rule.level):
            return False
        if rule.count == 1:
            return True
        name = (number, where.path)
        times = self._seen.pop(name, None) or deque(maxlen=rule.count)
        times.append(now)
        if len(times) == rule.count and now - times[0] <= rule.seconds:
            return True  # and is counted from the beginning again
        self._seen[name] = times
        if len(self._seen) > MOST_REMEMBERED:
            self._seen.popitem(last=False)
        return False


def text_of(reply: Reply) -> str:
    """What patterns are matched against: "421 4.7.28 text", one line."""
    text = " ".join(reply.text[:TEXT_LIMIT].split())
    parts = (str(reply.code), reply.enhanced, text)
    return " ".join(part for part in parts if part).encode("utf-8", "replace").decode("utf-8")


def _options() -> re2.Options:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    return options


# -- reading ---------------------------------------------------------------------------------------------------

CHANGEABLE: Final = ("connection_limit", "max_message_rate", "max_deliveries_per_connection")
"""What SetConfig, ScaleConfig and back may change while a path lives."""
KEYS: Final = frozenset({"regex", "action", "trigger", "duration", "back", "mark"})
_WORDS: Final[Mapping[str, ActionKind]] = {
    "Suspend": ActionKind.SUSPEND,
    "SuspendSite": ActionKind.SUSPEND_SITE,
    "SuspendSender": ActionKind.SUSPEND_SENDER,
    "SuspendTenant": ActionKind.SUSPEND_SENDER,
}
_THRESHOLD: Final = re.compile(r"([0-9]{1,4})/([a-z]{1,8})")


def read_automation(table: object, where: str, level: str, scope: str) -> AutomationRule | list[str]:
    """One [[automation]] table, or every error of it."""
    if not isinstance(table, Mapping):
        return [f"{where}: {ascii(table)[:80]} is not a table; write [[automation]] tables"]
    errors = [f"{where}.{ascii(key)[1:-1][:60]}: unknown key; known are {', '.join(sorted(KEYS))}"
              for key in table if key not in KEYS]  # fmt: skip

    def take(key: str, reader: Callable[[object], object]) -> object:
        try:
            return reader(table.get(key))
        except ValueError as error:
            errors.append(f"{where}.{key}: {ascii(table.get(key))[:80]}: {error}")
            return None

    patterns, actions = take("regex", _patterns), take("action", _actions)
    trigger, duration = take("trigger", _trigger), take("duration", _duration)
    back = take("back", _back)
    if errors:
        return errors
    assert isinstance(patterns, tuple)
    assert isinstance(actions, tuple)
    assert isinstance(trigger, tuple)
    assert isinstance(duration, float)
    assert back is None or isinstance(back, Back)
    count, seconds = trigger
    return AutomationRule(where, level, scope, patterns, actions, count, seconds, duration, back)


def _patterns(value: object) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else [value]
    if not 0 < len(listed) <= 64 or not all(isinstance(text, str) and 0 < len(text) <= 1000 for text in listed):
        raise ValueError("write a regular expression of 1 to 1000 characters, or a list of at most 64")
    for text in listed:
        try:
            re2.compile(text, _options())
        except (re2.error, UnicodeError) as error:
            why = error.args[0] if error.args else ""
            why = why.decode("utf-8", "replace") if isinstance(why, bytes) else str(why)
            raise ValueError(f"no regular expression of RE2: {ascii(why)[1:-1][:80]}") from None
    return tuple(listed)


def _actions(value: object) -> tuple[Action, ...]:
    listed = value if isinstance(value, list) else [value]
    if not 0 < len(listed) <= 8:
        raise ValueError("write one action, or a list of at most 8")
    return tuple(_action(entry) for entry in listed)


def _action(entry: object) -> Action:
    if isinstance(entry, str) and entry in _WORDS:
        return Action(_WORDS[entry])
    if isinstance(entry, Mapping) and len(entry) == 1:
        ((word, inner),) = entry.items()
        if word == ActionKind.SET and isinstance(inner, Mapping) and inner.keys() == {"name", "value"}:
            return Action(ActionKind.SET, _key(inner["name"]), amount(str(inner["name"]), inner["value"]))
        if word == ActionKind.SCALE and isinstance(inner, Mapping) and inner.keys() == {"name", "factor"}:
            return Action(ActionKind.SCALE, _key(inner["name"]), _factor(inner["factor"]))
    raise ValueError(
        f"write one of {', '.join(_WORDS)}, "
        '{SetConfig = {name = "max_message_rate", value = "1/min"}} or '
        '{ScaleConfig = {name = "max_message_rate", factor = 0.5}}'
    )


def _key(name: object) -> str:
    if isinstance(name, str) and name in CHANGEABLE:
        return name
    raise ValueError(f"{ascii(name)[:60]} cannot be changed by a rule; known are {', '.join(CHANGEABLE)}")


def _factor(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1:
        return float(value)
    raise ValueError("write a factor between 0 and 1, such as 0.5")


def amount(key: str, value: object) -> float:
    """A value of one of CHANGEABLE as a number; rates a second. Raises ValueError."""
    if key == "max_message_rate":
        if not isinstance(value, str):
            raise ValueError('write a rate such as "1/min"')
        rate = Rate.parse(value)
        return rate.count / rate.seconds
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1_000_000:
        return float(value)
    raise ValueError("write a whole number from 1 to 1000000")


def _trigger(value: object) -> tuple[int, float]:
    if value in (None, "Immediate"):
        return 1, 0.0
    if isinstance(value, Mapping) and value.keys() == {"Threshold"} and isinstance(value["Threshold"], str):
        match = _THRESHOLD.fullmatch(value["Threshold"])
        if match and match[2] in SECONDS and 1 <= int(match[1]) <= 1000:
            return int(match[1]), float(SECONDS[match[2]])
    raise ValueError('write "Immediate", or {Threshold = "10/hr"} with a count from 1 to 1000')


def _duration(value: object) -> float:
    seconds = parse_duration(value)
    if 1 <= seconds <= 7 * 86400:
        return seconds
    raise ValueError("write a duration from 1 second to 7 days")


def _back(value: object) -> Back | None:
    if value is None:
        return None
    keys: Sequence[str] = [key for key in value if key in CHANGEABLE] if isinstance(value, Mapping) else ()
    if not isinstance(value, Mapping) or len(keys) != 1 or value.keys() - {"successes"} != {keys[0], "step"}:
        raise ValueError('write {connection_limit = 1, step = 1} or {max_message_rate = "1/min", step = "1/min"}')
    successes = value.get("successes", 0)
    if type(successes) is not int or not (0 < successes <= 1_000_000 or "successes" not in value):
        raise ValueError("successes: deliveries for one step, 1 to 1000000")
    return Back(keys[0], amount(keys[0], value[keys[0]]), amount(keys[0], value["step"]), successes)
