"""People who write that they want no more, and machines that answer for people.

A refusal is a short text that says so: the word stands in the subject, or in the few lines above the quote; the quoted
mail, which has "unsubscribe" in its own footer, does not count. Words are looked for after NFKC in any of the charsets
that Japanese mail comes in. An auto-reply (RFC 3834) is recognised by its fields first and its subject next.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from engine.returns.mime import Fields
from engine.returns.shape import Shape, unquoted
from engine.returns.value import OptOutMail
from engine.returns.words import address_of, tokens

MAX_WRITTEN: Final = 400
"""Characters above the quote beyond which it is a letter and no refusal: somebody should read it."""
_JAPANESE: Final = (
    r"(?:メール|配信|メルマガ|登録|会員|購読|送信|メールマガジン)(?:の|を|は)?(?:配信|登録|購読|送信|会員)?(?:の"
    r"|を|は)?"
    r"(?:停止|解除|中止|退会|拒否|やめ|止め|不要|取り?消|削除)"
)
_WORDS: Final = re.compile(
    rf"{_JAPANESE}|^\W*(?:停止|解除|退会|中止|拒否|不要|配信停止|オプトアウト)(?:希望|依頼|申請|願|して|を|です"
    rf"|します|お願い|\W|$)"
    r"|(?:停止|解除|退会)(?:を)?(?:希望|お願い|して|願い)|(?:もう)?送らないで|メール(?:は)?(?:いりません|要りません)"
    r"|\bunsubscribe\b|\bopt[- ]?out\b|\bremove me\b|\btake me off\b|\bstop (?:sending|mailing|emailing)\b"
    r"|^\W*stop\W*$|^\W*remove\W*$",
    re.IGNORECASE | re.MULTILINE,
)
_DENIED: Final = re.compile(
    r"解除(?:しない|せず|の解除)|停止(?:しない|せず|の解除)|再開|don'?t unsubscribe|not unsubscribe", re.IGNORECASE
)
_AUTO_SUBJECT: Final = re.compile(
    r"^\W*(?:automatic(?:al)? reply|auto[- ]?(?:reply|response|responder)|autoreply|out of (?:the )?office"
    r"|on vacation|vacation"
    r"|away (?:from|until)|i am (?:away|out)|absence|abwesen|automatische antwort|réponse automatique"
    r"|respuesta automática"
    r"|自動(?:返信|応答|返答)|不在(?:通知|の|連絡)?|休暇|受付(?:完了|確認)|お問い合わせ(?:あり|を)|\[auto)"
    r"|自動返信|自動応答|out of office|vacation",
    re.IGNORECASE,
)


def read_refusal(shape: Shape, *, is_optout_address: bool) -> OptOutMail | None:
    """`is_optout_address`: it was sent to an address that is for refusing, so that no word is needed."""
    subject = shape.fields.first("subject")
    written = unquoted(shape.words).strip()
    if written.startswith("{"):
        return None  # JSON: a program wrote it
    sender = address_of(shape.fields.first("from"))
    given = tokens([subject, *shape.fields.every("to")])
    found = _refusing(subject, written)
    if found or is_optout_address:
        quoted = shape.original.tokens or tokens([shape.words])
        return OptOutMail(sender, given or quoted, found)
    return None


def _refusing(subject: str, written: str) -> str:
    """The first word of refusal; a reply's subject repeats ours and does not count."""
    is_reply = re.match(r"\s*(?:re|aw|sv|fwd?|返信|転送)\s*[:：]", subject, re.IGNORECASE)
    for text in ("" if is_reply else subject, written if len(written) <= MAX_WRITTEN else ""):
        plain = unicodedata.normalize("NFKC", text)
        match = _WORDS.search(plain)
        if match and not _DENIED.search(plain):
            return match[0].strip()[:80]
    return ""


def is_automatic(fields: Fields) -> bool:
    """RFC 3834 5 and what stood in its place. Also true of many bounces and of some refusals: ask for them first."""
    auto = fields.first("auto-submitted").split(";")[0].strip().lower()
    if auto and auto != "no":
        return True
    if fields.first("x-auto-response-suppress").strip() or fields.first(
        "x-autoreply", "x-autorespond", "x-autoresponder"
    ):
        return True
    if fields.first("precedence").strip().lower() in {"auto_reply", "auto-reply"}:
        return True
    return bool(_AUTO_SUBJECT.search(fields.first("subject")[:300]))
