"""%footer%: the display that the law wants, built from the sender's profile, for text and for HTML.

Name, opt-out, the statement that one can opt out there right above the link, address and where complaints are taken
(特定電子メール法 4条, 施行規則 7条・9条); for mail-order advertising the seller, its mail address and the page of
特定商取引法に基づく表示 (特定商取引法 12条の3 4項). It becomes part of the template, so it is encoded in the charset of
the text around it (施行規則 7条2項) and %cancelurl% in it is the recipient's own. Without an unsubscribe_url it has
no opt-out: enough where the law asks for the name only, and the display check says so where it asks for more.
"""

from __future__ import annotations

import html
from dataclasses import dataclass

from engine.mail.profile import Language, MailOrder, Profile
from engine.mail.slots import CANCEL_URL

FOOTER = "%footer%"
_RULE = "-" * 56


@dataclass(frozen=True, slots=True)
class _Words:
    stop: str
    here: str
    """HTML: the sentence around the link; `%s` is the link's text."""
    link: str
    name: str
    representative: str
    address: str
    contact: str
    seller: str
    seller_mail: str
    seller_stop: str
    tokusho: str
    colon: str


_WORDS = {
    Language.JA: _Words(
        stop="配信の停止をご希望の方は、次のページからお手続きいただけます。",
        here="配信の停止をご希望の方は、%sからお手続きいただけます。",
        link="配信停止のページ",
        name="送信者",
        representative="代表者",
        address="住所",
        contact="お問い合わせ・苦情の受付",
        seller="販売業者",
        seller_mail="販売業者のメールアドレス",
        seller_stop="販売業者からの広告メールの配信停止はこちら",
        tokusho="特定商取引法に基づく表示",
        colon="：",
    ),
    Language.EN: _Words(
        stop="If you no longer wish to receive these e-mails, you can unsubscribe on this page:",
        here="If you no longer wish to receive these e-mails, you can %s at any time.",
        link="unsubscribe on this page",
        name="Sender",
        representative="Representative",
        address="Address",
        contact="Inquiries and complaints",
        seller="Seller",
        seller_mail="E-mail address of the seller",
        seller_stop="You can unsubscribe from the seller's e-mails here",
        tokusho="Disclosure under the Act on Specified Commercial Transactions",
        colon=": ",
    ),
}


@dataclass(frozen=True, slots=True)
class Footer:
    """What a footer is made of beside the profile."""

    legal_name: str
    profile: Profile
    can_opt_out: bool
    mail_order: bool
    """The extra items of AD_MO."""

    def text(self) -> str:
        """Without a newline at its end: the template has what follows."""
        words = _WORDS[self.profile.language]
        lines = [_RULE]
        if self.can_opt_out:
            lines += [words.stop, CANCEL_URL, ""]
        lines += [f"{label}{words.colon}{value}" for label, value in self._facts(words)]
        return "\n".join(lines)

    def html(self) -> str:
        """One block; what stands in the profile is escaped."""
        words = _WORDS[self.profile.language]
        paragraphs = []
        if self.can_opt_out:
            paragraphs.append(words.here % f'<a href="{CANCEL_URL}">{words.link}</a>')
        facts = [f"{label}{words.colon}{_linked(value)}" for label, value in self._facts(words)]
        paragraphs.append("<br>\n".join(facts))
        inner = "\n".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)
        return f'<div style="font-size:13px;line-height:1.7;color:#444;background-color:#fff">\n<hr>\n{inner}\n</div>'

    def _facts(self, words: _Words) -> list[tuple[str, str]]:
        profile = self.profile
        contacts = " / ".join(filter(None, (profile.phone, profile.contact_mail, profile.contact_url)))
        facts = [
            (words.name, self.legal_name),
            (words.representative, profile.representative),
            (words.address, profile.postal_address),
            (words.contact, contacts),
        ]
        if self.mail_order:
            order = profile.mail_order or MailOrder()
            facts += [
                (words.seller, order.seller or self.legal_name),
                (words.seller_mail, order.seller_mail or profile.contact_mail),
                (words.seller_stop, order.seller_unsubscribe),
                (words.tokusho, order.tokusho_url),
            ]
        return [(label, value) for label, value in facts if value]


def _linked(value: str) -> str:
    """Escaped; a URL or a mail address that stands alone, or between slashes, becomes a link."""
    return " / ".join(_link(part) for part in value.split(" / "))


def _link(part: str) -> str:
    shown = html.escape(part)
    if part.startswith(("https://", "http://")):
        return f'<a href="{shown}">{shown}</a>'
    if part.count("@") == 1 and " " not in part and part.isascii():
        return f'<a href="mailto:{shown}">{shown}</a>'
    return shown
