"""Reads rules.toml: tables of [[rule]] -> Rules.

A rule is data: where it applies (phase, reply code, enhanced code), the words to look for, and the real reply that
made it. That reply must be matched by its own rule and by none before it, or the table does not compile: no rule can
be dead, and none can be moved without somebody noticing. All errors are collected. The text is the caller's to read.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from engine.policy.classify import SCOPES, Class, Rule, Rules, Scope
from engine.smtp.event import Phase
from engine.smtp.reply import Reply


class RulesError(ValueError):
    """The rules' text is wrong; `errors` holds everything that is."""

    def __init__(self, errors: Sequence[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors: Final = tuple(errors)


def compile_rules(text: str, *, check_replies: bool = True) -> Rules:
    """Reads TOML of [[rule]] tables. Raises RulesError with all errors. Pure: whoever calls reads the file.
    `check_replies`: that each rule is the one that its own reply finds.
    """
    try:
        tables = tomllib.loads(text).get("rule", [])
    except tomllib.TOMLDecodeError as error:
        raise RulesError([f"rules: not TOML: {error}"]) from error
    if not isinstance(tables, list) or len(tables) > 2000:
        raise RulesError(["rules: rule is not a list; write each rule as [[rule]], at most 2000"])
    errors: list[str] = []
    compiled = [_compile(table, number, errors) for number, table in enumerate(tables, 1)]
    rules = Rules(rule for rule, _, _ in compiled)
    names = [rule.name for rule in rules.rules]
    errors += [f"rules.{name}: this name stands twice" for name in sorted({n for n in names if names.count(n) > 1})]
    if not errors and check_replies:
        errors = [line for rule, at, reply in compiled for line in _misses(rules, rule, at, reply)]
    if errors:
        raise RulesError(errors)
    return rules


def _misses(rules: Rules, rule: Rule, at: Phase, reply: str) -> list[str]:
    found = rules.match(at, read_reply(reply), min(rule.providers, default=""))
    if found is rule:
        return []
    other = "no rule" if found is None else f"the rule {found.name} before it"
    return [f"rules.{rule.name}: its own reply at {at.name} is matched by {other}; correct it or move it up"]


def read_reply(line: str) -> Reply:
    """A reply as it stands in a rule: "550 5.1.1 text"."""
    match = re.match(r"([245][0-9]{2})[ -]?(?:([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$))?", line)
    if match is None:
        return Reply(0, "", line)
    return Reply(int(match[1]), match[2] or "", line[match.end() :])


_KEYS: Final = frozenset(
    {"name", "class", "codes", "enhanced", "phases", "words", "temporary", "pause", "reply", "at", "scope", "providers"}
    | {"source"}
)
_TRANSACTION: Final = ("MAIL", "RCPT", "DATA", "DOT")


def _compile(table: object, number: int, errors: list[str]) -> tuple[Rule, Phase, str]:
    """The rule, and the phase and text of its example. Errors are added; what is wrong is left at its default."""
    given: Mapping[str, object] = table if isinstance(table, Mapping) else {"name": table}
    name = given.get("name")
    where = f"rules.{ascii(name)[1:-1][:60] if isinstance(name, str) and name else number}"
    reading = _Reading(given, where, errors)
    errors += [f"{where}.{ascii(key)[1:-1][:60]}: unknown key; remove it" for key in given if key not in _KEYS]
    reply = reading.text("reply")
    if "source" in given:
        reading.text("source")
    phases = [Phase[phase] for phase in reading.words("phases", tuple(Phase.__members__)) or Phase.__members__]
    own_name = reading.text("name")
    bounce_class = Class(reading.words("class", tuple(Class), single=True, required=True)[0])
    scope = reading.words("scope", tuple(Scope), single=True)
    at = reading.words("at", tuple(Phase.__members__), single=True)
    rule = Rule(
        name=own_name,
        bounce_class=bounce_class,
        codes=reading.codes(),
        enhanced=reading.enhanced(),
        phases=frozenset(phases),
        words=tuple((words[0] == "^", _split(words)) for words in reading.texts("words")),
        temporary=reading.flag("temporary"),
        pause=reading.pause(),
        scope=Scope(scope[0]) if scope else SCOPES[bounce_class],
        providers=reading.names("providers"),
    )
    example = next((Phase[phase] for phase in at or _TRANSACTION[1:] if Phase[phase] in phases), phases[0])
    return rule, example, reply


def _split(words: str) -> tuple[str, ...]:
    pieces = [" ".join(piece.split()) for piece in words.removeprefix("^").lower().split("*")]
    return tuple(piece for piece in pieces if piece) or ("",)


@dataclass(frozen=True, slots=True)
class _Reading:
    """One table being read; what is wrong goes to `errors`."""

    table: Mapping[str, object]
    where: str
    errors: list[str]

    def refuse(self, key: str, remedy: str) -> None:
        value = ascii(self.table.get(key))
        self.errors.append(f"{self.where}.{key}: {value[:80]}: {remedy}")

    def text(self, key: str) -> str:
        value = self.table.get(key)
        if isinstance(value, str) and 0 < len(value) <= 1000:
            return value
        self.refuse(key, "write a text of 1 to 1000 characters")
        return ""

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.table.get(key, [])
        if isinstance(value, list) and len(value) <= 64 and all(_is_words(text) for text in value):
            return tuple(value)
        self.refuse(key, "write a list of at most 64 texts, each of 3 to 200 characters and at most 8 asterisks")
        return ()

    def words(
        self, key: str, known: tuple[str, ...], *, single: bool = False, required: bool = False
    ) -> tuple[str, ...]:
        """The known words in a list, or, if `single`, one; of a wrong and required one, the first known."""
        value = self.table.get(key)
        if value is None and not required:
            return ()
        listed = [value] if single else value
        if isinstance(listed, list) and listed and all(isinstance(word, str) and word in known for word in listed):
            return tuple(listed)
        self.refuse(key, f"write {'one' if single else 'a list'} of {', '.join(known)}")
        return known[:1]

    def codes(self) -> frozenset[int]:
        value = self.table.get("codes")
        if isinstance(value, list) and value and all(_is_code(code) for code in value):
            return frozenset(value)
        self.refuse("codes", "write a list of reply codes from 400 to 599, or 4 or 5 for all of them")
        return frozenset()

    def enhanced(self) -> tuple[str, ...]:
        value = self.table.get("enhanced", [])
        if isinstance(value, list) and all(isinstance(code, str) and _ENHANCED.fullmatch(code) for code in value):
            return tuple(
                digit + code[1:].removesuffix("*").removesuffix(".") + "."
                for code in value
                for digit in (code[0].replace("X", "45"))
            )
        self.refuse("enhanced", 'write a list such as ["5.1.1", "X.7.28", "X.1.*"]')
        return ()

    def names(self, key: str) -> frozenset[str]:
        value = self.table.get(key, [])
        if isinstance(value, list) and all(isinstance(name, str) and 0 < len(name) <= 64 for name in value):
            return frozenset(value)
        self.refuse(key, 'write a list of providers of the shaping, such as ["docomo"]')
        return frozenset()

    def flag(self, key: str) -> bool:
        value = self.table.get(key, False)
        if isinstance(value, bool):
            return value
        self.refuse(key, "write true or false")
        return False

    def pause(self) -> float | None:
        value = self.table.get("pause")
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 86400:
            return float(value)
        self.refuse("pause", "write whole seconds from 0 to 86400")
        return None


_ENHANCED: Final = re.compile(r"[45X]\.[0-9]{1,3}\.(?:[0-9]{1,3}|\*)")


def _is_words(text: object) -> bool:
    return isinstance(text, str) and 3 <= len(text) <= 200 and text.count("*") <= 8 and any(map(str.isalnum, text))


def _is_code(code: object) -> bool:
    return isinstance(code, int) and not isinstance(code, bool) and (code in (4, 5) or 400 <= code <= 599)
