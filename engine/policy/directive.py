"""An operator's word, or automation's, about mail on its way: suspend, bounce or reroute what a scope names.

A scope names one or more of domain, provider, site, source, sender and mailing, and fits what agrees with all that it
names. Directives end by themselves when they say so; the youngest that fits decides. Pure; where they are kept and
what they do stands in flow/steering.py.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final


class Verb(StrEnum):
    SUSPEND = "suspend"
    BOUNCE = "bounce"
    REROUTE = "reroute"


@dataclass(frozen=True, slots=True)
class Scope:
    """Empty: any. Domain in lower case."""

    domain: str = ""
    provider: str = ""
    site: str = ""
    source: str = ""
    sender: str = ""
    mailing: str = ""

    def covers(self, facts: Scope) -> bool:
        """Whether all that is named agrees."""
        return (
            self.domain in ("", facts.domain)
            and self.provider in ("", facts.provider)
            and self.site in ("", facts.site)
            and self.source in ("", facts.source)
            and self.sender in ("", facts.sender)
            and self.mailing in ("", facts.mailing)
        )

    @property
    def is_of_senders(self) -> bool:
        """It divides the mail of one lane: some may go, some may not."""
        return bool(self.sender or self.mailing)

    def __str__(self) -> str:
        named = [f"{field.name} {getattr(self, field.name)}" for field in fields(self) if getattr(self, field.name)]
        return ", ".join(named) or "everything"


@dataclass(frozen=True, slots=True)
class Directive:
    number: int
    verb: Verb
    scope: Scope
    at: float
    until: float | None
    """Unix seconds; None: until resumed."""
    reason: str
    by: str
    """operator, or the rule of automation."""
    pool: str = ""
    to: str = ""
    """Of a reroute: another pool, host:port, or both."""

    def is_over(self, now: float) -> bool:
        return self.until is not None and now >= self.until


MOST_DIRECTIVES: Final = 1000


def youngest(directives: dict[int, Directive], verb: Verb, facts: Scope) -> Directive | None:
    for directive in reversed(directives.values()):
        if directive.verb is verb and directive.scope.covers(facts):
            return directive
    return None
