"""All rules over one sample: which apply is the category's to say, how hard they bite the sender's setting.

Cost: two or three milliseconds for an ordinary mail, a second or two for the largest one that is taken, whatever is in
it. Once per message, sender and category; never per recipient.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from engine.lint.display import display_findings
from engine.lint.facts import Facts, opt_outs
from engine.lint.finding import MOST_FINDINGS, RULES, Finding, Severity
from engine.lint.form import form_findings, header_findings, left_findings, selling_findings
from engine.lint.parts import take_apart
from engine.lint.party import name_findings, seller_findings
from engine.lint.sample import sample, sample_link
from engine.mail.compose import Compiled
from engine.mail.identity import SenderIdentity

_NO_SIZES: Mapping[str, int] = {}


def check(
    compiled: Compiled,
    identity: SenderIdentity,
    category: str,
    *,
    is_raw: bool = False,
    regions: Iterable[str] = (),
    sizes: Mapping[str, int] = _NO_SIZES,
) -> list[Finding]:
    """Blocking findings first. The variant without the advertisement is looked at as what it is sent as: TX. `sizes`:
    receiver -> octets of the largest message that it takes.
    """
    wanted = frozenset(regions)
    facts = _facts(compiled, identity, category, is_raw, wanted)
    found = list(_findings(replace(facts, sizes=sizes)))
    if compiled.without_ad is not None:
        variant = list(_findings(_facts(compiled.without_ad, identity, "TX", is_raw, wanted)))
        found += [replace(finding, part=f"without_ad.{finding.part}") for finding in variant]
    found.sort(key=lambda finding: (finding.severity is not Severity.BLOCK, finding.rule))
    return found[:MOST_FINDINGS]


def opt_out_links(
    compiled: Compiled, identity: SenderIdentity, category: str, *, is_raw: bool = False
) -> list[tuple[str, int, str]]:
    """Part, line and target of the links of a sample that serve to opt out: for whoever asks where they lead."""
    facts = _facts(compiled, identity, category, is_raw, frozenset())
    return [
        (screen.part, link.number, link.target) for screen in facts.sample.screens for link in opt_outs(screen, facts)
    ]


def octets_of(compiled: Compiled, identity: SenderIdentity) -> int:
    """Of a sample as it is sent, without signatures."""
    return len(sample(compiled, identity))


def _facts(compiled: Compiled, identity: SenderIdentity, category: str, is_raw: bool, regions: frozenset[str]) -> Facts:
    taken = take_apart(sample(compiled, identity))
    return Facts(taken, identity, category, sample_link(identity), is_raw, regions)


def _findings(facts: Facts) -> Iterator[Finding]:
    yield from name_findings(facts)
    for screen in facts.sample.screens:
        yield from display_findings(screen, facts)
        yield from seller_findings(screen, facts)
        yield from left_findings(screen, facts)
    yield from header_findings(facts)
    yield from selling_findings(facts)
    yield from form_findings(facts)


def rule_texts() -> dict[str, tuple[str, str, str]]:
    """Rule -> article, Japanese, English."""
    return {name: (rule.article, rule.ja, rule.en) for name, rule in RULES.items()}
