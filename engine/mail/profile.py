"""What the law wants displayed of a sender (特定電子メール法 4条, 施行規則 9条; 特定商取引法 11条, 12条の3 4項).

Written once in the configuration and used twice: %footer% is built from it, and the display check looks for it in what
readers see. Checked when the configuration is read. A registered name is written in full: ㈱ and (株) are no
registration's words, and half-width kana, ① or ㈱ could not be shown to readers of ISO-2022-JP at all.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import StrEnum

from engine.mail.address import AddressError, parse_address
from engine.mail.narrow import foreign, remedy

MAX_TEXT = 200
MAX_URL = 500

_URL = re.compile(r"https?://[!-;=?-~]+")
_PHONE = re.compile(r"\+?[0-9][0-9 ()-]{7,24}[0-9]")
_SHORT_FORM = re.compile(r"[㈱㈲]|[（(][株有][)）]")
_HALF_OR_RINGED = re.compile("[\uff61-\uff9f\u2460-\u24ff\u3200-\u33ff]")
_HOST = re.compile(r"(?=.{4,253}$)(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)+[A-Za-z0-9-]{2,63}")
_SLOT = re.compile(r"\{\{|%[a-z]{3,}%")


class Language(StrEnum):
    JA = "ja"
    EN = "en"


@dataclass(frozen=True, slots=True)
class MailOrder:
    """[senders.NAME.profile.mail_order]: what 特定商取引法 adds for advertising of mail order (AD_MO)."""

    seller: str = ""
    """Registered name of the 販売業者, when the goods are another's than the sender's."""
    seller_mail: str = ""
    """The seller's mail address (施行規則 23条); empty: the sender's contact_mail."""
    seller_unsubscribe: str = ""
    """The other seller's own opt-out, https or a mail address."""
    tokusho_url: str = ""
    """The page 特定商取引法に基づく表示."""


@dataclass(frozen=True, slots=True)
class Profile:
    """[senders.NAME.profile]. The sender's registered name stands in senders.NAME.legal_name."""

    postal_address: str = ""
    """住所 of the sender (施行規則 9条2号)."""
    phone: str = ""
    """For complaints and inquiries (9条3号); one of phone, contact_mail and contact_url is needed."""
    contact_mail: str = ""
    contact_url: str = ""
    representative: str = ""
    """代表者 or the person responsible."""
    individual: bool = False
    """The sender is a person: legal_name is a person's name and has no 株式会社 or the like."""
    language: Language = Language.JA
    """In which %footer% is written."""
    campaign_hosts: tuple[str, ...] = ()
    """Hosts of its shop and campaigns: a TX that leads there or below is an advertisement, too (2条2号)."""
    mail_order: MailOrder | None = None


def profile_faults(profile: Profile) -> Iterator[tuple[str, str, str]]:
    """(key, value, what is wrong and what to do), all of them."""
    for key, value in _texts(profile):
        yield from ((key, value, wrong) for wrong in text_faults(value))
    if not profile.postal_address:
        yield "postal_address", "", "is missing: the sender's address has to be displayed (施行規則 9条2号)"
    if not (profile.phone or profile.contact_mail or profile.contact_url):
        yield "phone", "", "give phone, contact_mail or contact_url: where complaints are taken (施行規則 9条3号)"
    if profile.phone and not _PHONE.fullmatch(profile.phone):
        yield "phone", profile.phone, "write digits and hyphens, as 03-1234-5678 or +81-3-1234-5678"
    for key, value in _mails(profile):
        if not _is_mail(value):
            yield key, value, "is no mail address of ASCII: write local@domain"
    for key, value in _urls(profile):
        if not _URL.fullmatch(value) or len(value) > MAX_URL:
            yield key, value, f"must be an http or https URL of at most {MAX_URL} ASCII"
    for host in profile.campaign_hosts:
        if not _HOST.fullmatch(host):
            yield "campaign_hosts", host, "write the name of a host, as sale.example.jp"
    order = profile.mail_order
    if order and order.seller and not order.seller_unsubscribe:
        yield "mail_order.seller_unsubscribe", "", "is missing: another seller needs an opt-out of its own"


def text_faults(value: str) -> Iterator[str]:
    if len(value) > MAX_TEXT and "://" not in value:
        yield f"has {len(value)} characters, at most {MAX_TEXT} may be"
    if short := _SHORT_FORM.search(value):
        written = unicodedata.normalize("NFKC", short[0])
        full = "株式会社" if "株" in written else "有限会社"
        yield f"has {short[0]}: write {full}, the name as it is registered"
    elif odd := _HALF_OR_RINGED.search(value):
        yield f"has {odd[0]!r}: write {unicodedata.normalize('NFKC', odd[0])!r}; old telephones cannot show it"
    if _SLOT.search(value):
        yield "has {{ or %name%: nothing is merged into a profile"


def foreign_texts(profile: Profile, legal_name: str) -> Iterator[tuple[str, str]]:
    """(key, why) of what cannot be shown in ISO-2022-JP although nothing is wrong with it: 髙, 﨑."""
    for key, value in (("legal_name", legal_name), *_texts(profile)):
        if character := foreign(value):
            yield key, remedy(character)


def _texts(profile: Profile) -> Iterator[tuple[str, str]]:
    for part, before in ((profile, ""), (profile.mail_order, "mail_order.")):
        for entry in fields(part) if part else ():
            value = getattr(part, entry.name)
            if isinstance(value, str) and value and not isinstance(value, Language):
                yield f"{before}{entry.name}", value


def _mails(profile: Profile) -> Iterator[tuple[str, str]]:
    order = profile.mail_order or MailOrder()
    yield from ((key, mail) for key, mail in (("contact_mail", profile.contact_mail),
                                              ("mail_order.seller_mail", order.seller_mail)) if mail)  # fmt: skip
    if order.seller_unsubscribe and "://" not in order.seller_unsubscribe:
        yield "mail_order.seller_unsubscribe", order.seller_unsubscribe


def _urls(profile: Profile) -> Iterator[tuple[str, str]]:
    order = profile.mail_order or MailOrder()
    yield from ((key, url) for key, url in (("contact_url", profile.contact_url),
                                            ("mail_order.tokusho_url", order.tokusho_url)) if url)  # fmt: skip
    if "://" in order.seller_unsubscribe:
        yield "mail_order.seller_unsubscribe", order.seller_unsubscribe


def _is_mail(text: str) -> bool:
    try:
        return not parse_address(text).utf8
    except AddressError:
        return False
