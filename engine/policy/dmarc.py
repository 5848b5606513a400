"""DMARC records and the walk up the DNS tree that finds them; whether two domains are aligned (RFC 9989, 4.10, 5.3).

RFC 9989 replaced the list of public suffixes by at most eight questions: from the domain upwards, until a record says
psd=n, or psd=y. The answers decide which domain is the organization's. Nothing is looked up here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

POLICIES: Final = ("none", "quarantine", "reject")
MOST_QUESTIONS: Final = 8


@dataclass(frozen=True, slots=True)
class Dmarc:
    policy: str
    """p=; none where it is missing or unknown but rua= is there."""
    subdomain_policy: str
    strict_dkim: bool
    strict_spf: bool
    psd: str
    """u, y or n"""
    has_reports: bool


def walk(domain: str) -> list[str]:
    """The names to ask, without "_dmarc.", in their order: the domain, then at most seven labels, one fewer each."""
    labels = domain.lower().rstrip(".").split(".")
    names = [".".join(labels)]
    left = labels[-7:] if len(labels) > 7 else labels[1:]
    while left and len(names) < MOST_QUESTIONS:
        names.append(".".join(left))
        left = left[1:]
    return names


def read_dmarc(texts: Iterable[bytes]) -> Dmarc | None:
    """The one record among a name's TXT records; several are none, as are those that do not begin with v=DMARC1."""
    found = [tags for text in texts if (tags := _tags(text)) is not None]
    if len(found) != 1:
        return None
    tags = found[0]
    policy, has_reports = tags.get("p", "").lower(), "rua" in tags
    if policy not in POLICIES:
        policy = "none"
    subdomain = tags.get("sp", "").lower()
    psd = tags.get("psd", "u").lower()
    return Dmarc(
        policy,
        subdomain if subdomain in POLICIES else policy,
        tags.get("adkim", "r").lower() == "s",
        tags.get("aspf", "r").lower() == "s",
        psd if psd in ("y", "n") else "u",
        has_reports,
    )


def _tags(text: bytes) -> dict[str, str] | None:
    first, *others = text.decode("ascii", "replace").split(";")
    name, _, version = first.partition("=")
    if name.strip() != "v" or version.strip() != "DMARC1":
        return None
    tags: dict[str, str] = {}
    for part in others:
        name, _, value = part.partition("=")
        tags.setdefault(name.strip().lower(), value.strip())
    return tags


def organization(domain: str, records: Mapping[str, Dmarc]) -> str:
    """The organizational domain, from what the walk found. `records` by name (4.10.2)."""
    names = [name for name in walk(domain) if name in records]
    for number, name in enumerate(names):
        if records[name].psd == "n":
            return name
        if records[name].psd == "y" and name != domain.lower().rstrip("."):
            # The domain one label below, whether it has a record or not.
            return ".".join(domain.lower().rstrip(".").split(".")[-(name.count(".") + 2) :])
        if number == len(names) - 1:
            return name
    return domain.lower().rstrip(".")


def is_over(name: str, domain: str, record: Dmarc | None) -> bool:
    """Whether the walk ends with what this name gave."""
    return record is not None and (record.psd == "n" or (record.psd == "y" and name != domain.lower().rstrip(".")))


def policy_of(domain: str, records: Mapping[str, Dmarc]) -> tuple[str, Dmarc, str] | None:
    """Where the record stands that counts for a From domain, the record, and the policy that it asks for (4.10.1)."""
    domain = domain.lower().rstrip(".")
    if domain in records:
        return domain, records[domain], records[domain].policy
    above = organization(domain, records)
    if above not in records:
        above = next((name for name in reversed(walk(domain)) if name in records), "")
    return (above, records[above], records[above].subdomain_policy) if above else None


def is_aligned(one: str, other: str, *, strict: bool, organizations: Mapping[str, str]) -> bool:
    """`organizations`: of each of the two domains."""
    one, other = one.lower().rstrip("."), other.lower().rstrip(".")
    return one == other or (not strict and organizations[one] == organizations[other])
