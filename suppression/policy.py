"""The decision: may a message of this category go to an address that stands so, today, in these circumstances?

特定電子メール法 3条から7条, 施行規則2条から6条; 特定商取引法 12条の3, 14条, 15条. What the answer is stands in the
tables (suppression/rules/*.toml); this file only knows how to ask them: row after row of the precedence, the opt-outs
before the grounds, of several grounds the best. Whatever has no row, or is not known, is blocked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from suppression.decision import Category, Decision, Verdict
from suppression.events import AddressState, Basis
from suppression.order import NO_ORDER, OrderKind, OrderState
from suppression.standing import Ground, Refusal, Stand
from suppression.tables import OVERRIDABLE, Cell, Row, Rules

CAT_UNKNOWN: Final = Decision(Verdict.BLOCK, "CAT_UNKNOWN", "")
ADDR_SYNTAX: Final = Decision(Verdict.BLOCK, "ADDR_SYNTAX", "")
UNAVAILABLE: Final = Decision(Verdict.BLOCK, "SUPPRESSION_UNAVAILABLE", "")
RULES_NONE: Final = Decision(Verdict.BLOCK, "RULES_NONE", "")
_REGION_UNKNOWN: Final = Decision(Verdict.BLOCK, "REGION_UNKNOWN", "")

HOME: Final = "JP"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """All that decides beside category and address."""

    day: int
    """Today in Japan, counted from 1970-01-01."""
    orders: OrderState = NO_ORDER
    identity: str = ""
    """Why the sender's identity is not established (IDENTITY_...); empty: it is."""
    display: str = ""
    """What the message lacks (DISPLAY_...); empty: nothing."""
    mail_order: bool = True
    """Whether an incidental advertisement may be for mail order. Not known counts as yes."""
    regions: tuple[str, ...] = (HOME,)
    """Whose law applies to the recipient; every one of them must allow."""
    override: str = ""
    """The state of a mailbox (row of the precedence) that the submit expressly sets aside; empty: none."""


@dataclass(frozen=True, slots=True)
class Finding:
    """With the row and the cell that gave it, for people who ask why."""

    decision: Decision
    row: str = ""
    article: str = ""


@dataclass(frozen=True, slots=True)
class _Question:
    rules: Rules
    category: Category
    address: AddressState
    stand: Stand
    now: Circumstances

    @property
    def refusal(self) -> Refusal:
        lasting = self.stand.refusal
        return Refusal.PERIOD if lasting is Refusal.NONE and self.now.day <= self.stand.period else lasting

    def of(self, cell: Cell) -> Decision | None:
        return cell.mail_order if self.now.mail_order else cell.decision


def decide(rules: Rules, category: str, address: AddressState, stand: Stand, now: Circumstances) -> Decision:
    """Total: any category text, known or not, gives a decision."""
    return explain(rules, category, address, stand, now).decision


def explain(rules: Rules, category: str, address: AddressState, stand: Stand, now: Circumstances) -> Finding:
    try:
        question = _Question(rules, Category(category), address, stand, now)
    except ValueError:
        return Finding(CAT_UNKNOWN, rules.precedence[0].key, rules.precedence[0].article)
    stripped: Finding | None = None
    overridden: Finding | None = None
    allowed = Finding(CAT_UNKNOWN)  # replaced at OPTOUT or CONSENT, or nothing of the kind happens
    decided = False
    for row in rules.precedence:
        step = _STEPS[row.key]
        if (decided and row.key in _WHETHER) or (found := step(question, row, allowed)) is None:
            continue
        if found.decision.verdict in _FINAL:
            return found
        if row.key in _WHETHER:
            decided = True
        if found.decision.verdict is Verdict.STRIP:
            stripped = stripped or found
        elif row.key in OVERRIDABLE:
            overridden = found
        else:
            allowed = found
    found = stripped or allowed
    return overridden if overridden and found.decision.verdict is Verdict.SEND else found


_FINAL: Final = frozenset({Verdict.BLOCK, Verdict.HOLD})
_WHETHER: Final = frozenset({"OPTOUT", "ORDER7_RELEASED", "CONSENT"})
"""Of these the first that answers is the answer: a refusal beats every consent."""

_Step = Callable[[_Question, Row, Finding], Finding | None]


def _never(_: _Question, __: Row, ___: Finding) -> Finding | None:
    return None


def _if(holds: Callable[[_Question], bool]) -> _Step:
    def step(question: _Question, row: Row, _: Finding) -> Finding | None:
        return _cell(question, row) if holds(question) else None

    return step


def _held(kind: OrderKind) -> _Step:
    return _if(lambda question: kind in question.now.orders.held)


def _state(state: AddressState) -> _Step:
    """What is sent in spite of it is still asked all the rest, and sent on the basis of the override."""

    def step(question: _Question, row: Row, _: Finding) -> Finding | None:
        if question.address is not state:
            return None
        cell = row.cells[question.category]
        if cell.override is not None and question.now.override == row.key:
            return Finding(cell.override, row.key, cell.article)
        return _cell(question, row)

    return step


def _cell(question: _Question, row: Row) -> Finding | None:
    cell = row.cells[question.category]
    decision = question.of(cell)
    return None if decision is None else Finding(decision, row.key, cell.article)


def _named(reason: Callable[[_Question], str]) -> _Step:
    """The caller says why, in a code of its own; the row says what follows."""

    def step(question: _Question, row: Row, _: Finding) -> Finding | None:
        code = reason(question)
        found = _cell(question, row) if code else None
        if found is None or found.decision.verdict is Verdict.SEND:
            return found
        return Finding(Decision(found.decision.verdict, code, ""), found.row, found.article)

    return step


def _opt_out(question: _Question, _: Row, __: Finding) -> Finding | None:
    """A refused address may be asked once more when its holder gave it again after the refusal: the fold keeps an
    address given only if it is later than a lasting refusal.
    """
    refusal = question.refusal
    if refusal is Refusal.NONE:
        return None
    row = question.rules.optout[refusal.name]
    cell = row.cells[question.category]
    again = any(ground.basis is Basis.ADDR_GIVEN and _alive(question, ground) for ground in question.stand.grounds)
    decision = cell.later if again and cell.later is not None else question.of(cell)
    return None if decision is None else Finding(decision, row.key, cell.article)


_SHOWN: Final = frozenset({Basis.OPTIN_REC, Basis.MO_REC})
"""Consent that can be shown."""


def _released(question: _Question, row: Row, _: Finding) -> Finding | None:
    """After an order to improve: no exemption counts, and what has no recorded consent is not sent."""
    if OrderKind.ORDER7 not in question.now.orders.released:
        return None
    found = _cell(question, row)
    if found is None or not question.stand.grounds:
        return None
    shown = [ground for ground in question.stand.grounds if ground.basis in _SHOWN]
    return _best(question, shown) if any(_alive(question, ground) for ground in shown) else found


def _consent(question: _Question, _: Row, __: Finding) -> Finding | None:
    return _best(question, question.stand.grounds)


_RANK: Final = {Verdict.SEND: 3, Verdict.STRIP: 2, Verdict.HOLD: 1, Verdict.BLOCK: 0}


def _best(question: _Question, grounds: Iterable[Ground]) -> Finding | None:
    """The first of the best, so that the reason is that of the strongest basis."""
    found = [_on(question, ground) for ground in sorted(grounds)] or [_on(question, None)]
    return max(found, key=lambda one: _RANK[one.decision.verdict])


def _on(question: _Question, ground: Ground | None) -> Finding:
    rules, category = question.rules, question.category
    row = rules.consent["NONE" if ground is None or not _alive(question, ground) else ground.basis.name]
    cell = row.cells[category]
    decision = question.of(cell) or cell.decision
    assert decision is not None  # only rows of the precedence may pass
    if ground is not None and row.key == "NONE":
        return Finding(_ended(rules, ground, decision), row.key, cell.article)
    cover = rules.covers.get(category)
    if ground is None or cover is None or decision.verdict is not Verdict.SEND or ground.covers & cover.needs:
        return Finding(decision, row.key, cell.article)
    return Finding(cover.otherwise, row.key, cover.article)


def _alive(question: _Question, ground: Ground) -> bool:
    if ground.until:
        return question.now.day <= ground.until
    age = question.rules.ages.get(ground.basis)
    return age is None or not ground.since or question.now.day <= ground.since + age.days


def _ended(rules: Rules, ground: Ground, decision: Decision) -> Decision:
    """As if there were no ground, but with the reason why there is none any more."""
    if decision.verdict is Verdict.SEND:
        return decision
    age = rules.ages.get(ground.basis)
    return Decision(decision.verdict, "CONSENT_ENDED" if age is None else age.reason, "")


def _region(question: _Question, row: Row, allowed: Finding) -> Finding | None:
    """The strictest of all regions. What goes without its advertisement already is asked nothing more."""
    found: list[Finding] = []
    for key in question.now.regions:
        region = question.rules.regions.get(key)
        if region is None:
            found.append(Finding(_REGION_UNKNOWN, row.key, row.article))
        elif (refused := region.refuses.get(allowed.decision.basis)) is not None:
            found.append(Finding(refused, row.key, region.article))
    return min(found, key=lambda one: _RANK[one.decision.verdict], default=None)


_STEPS: Final[dict[str, _Step]] = {
    "CATEGORY": _never,
    "IDENTITY": _named(lambda question: question.now.identity),
    "SUSP15": _held(OrderKind.SUSP15),
    "ORDER7": _held(OrderKind.ORDER7),
    "INSTR14": _held(OrderKind.INSTR14),
    "BAD_SYNTAX": _state(AddressState.BAD_SYNTAX),
    "NULL_MX": _state(AddressState.NULL_MX),
    "FICT_CONFIRMED": _state(AddressState.FICT_CONFIRMED),
    "FICT_SUSPECT": _state(AddressState.FICT_SUSPECT),
    "UNKNOWN_USER": _state(AddressState.UNKNOWN_USER),
    "OPTOUT": _opt_out,
    "ORDER7_RELEASED": _released,
    "CONSENT": _consent,
    "DISPLAY": _named(lambda question: question.now.display),
    "REGION": _region,
}
