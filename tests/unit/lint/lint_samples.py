"""A sender, and what the check says of a message, for the tests of engine/lint."""

from __future__ import annotations

from dataclasses import replace

from engine.lint import Finding, check
from engine.mail.identity import SenderIdentity
from engine.mail.message import decode_message
from engine.mail.profile import MailOrder, Profile
from engine.mail.template import compile_message

NAME = "株式会社やまぶき堂"
ADDRESS = "〒604-8001 京都市中京区木屋町通三条上る1-2-3"
PROFILE = Profile(ADDRESS, "075-123-4567", "info@yamabuki.co.jp", "https://yamabuki.co.jp/contact")
ORDERING = replace(PROFILE, mail_order=MailOrder(tokusho_url="https://yamabuki.co.jp/tokusho"))
SHOP = SenderIdentity(
    "shop",
    "news@yamabuki.co.jp",
    "yamabuki.co.jp",
    "yamabuki.co.jp",
    "yamabuki.co.jp",
    from_display="やまぶき堂",
    unsubscribe_url="https://yamabuki.co.jp/u/{token}",
    legal_name=NAME,
    profile=PROFILE,
)
ORDER_SHOP = replace(SHOP, profile=ORDERING)
UNREGISTERED = replace(SHOP, profile=None)
FOOT = (
    f"配信の停止は次のページからお手続きいただけます。\n%cancelurl%\n\n送信者 {NAME}\n住所 {ADDRESS}\n"
    "お問い合わせ 075-123-4567\n"
)
HTML_FOOT = (
    f'<p>配信停止は<a href="%cancelurl%">こちら</a></p><p>送信者 {NAME}<br>{ADDRESS}<br>'
    '<a href="https://yamabuki.co.jp/contact">お問い合わせ</a></p>'
)


def findings(
    message: dict[str, object], category: str = "AD", sender: SenderIdentity = SHOP, regions: tuple[str, ...] = ()
) -> list[Finding]:
    spec = decode_message({"subject": "お知らせ", **message} if "raw" not in message else message)
    compiled = compile_message(spec, sender, mail_order=category == "AD_MO")
    return check(compiled, sender, category, is_raw=spec.raw is not None, regions=regions)


def rules(
    message: dict[str, object], category: str = "AD", sender: SenderIdentity = SHOP, regions: tuple[str, ...] = ()
) -> list[str]:
    """Each rule once; one that only warns in lower case."""
    found = findings(message, category, sender, regions)
    return sorted({finding.rule if finding.severity == "block" else finding.rule.lower() for finding in found})


def raw(body: str, kind: str = "plain", charset: str = "utf-8", header: str = "", codec: str = "") -> dict[str, object]:
    head = (
        f"From: news@yamabuki.co.jp\r\nSubject: test\r\nMIME-Version: 1.0\r\n{header}"
        f"Content-Type: text/{kind}; charset={charset}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    )
    return {"raw": head.encode() + body.replace("\n", "\r\n").encode(codec or charset)}
