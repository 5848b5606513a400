"""[senders.NAME.profile] and lint: every fault with its key, and what `sokutatsu check` warns of."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import Settings, cautions, read_configuration
from engine.flow.display import LintMode
from engine.mail.profile import Language, MailOrder, Profile

START = """[engine]
state = "state"
ehlo_name = "mta1.example.jp"
[routes]
"*" = "relay.example.jp:25"
[senders.shop]
legal_name = "株式会社れい"
address = "れい商店 <news@news.example.jp>"
unsubscribe_url = "https://news.example.jp/u/{token}"
[[senders.shop.dkim]]
selector = "s1"
key = "dkim.pem"
"""
PROFILE = """[senders.shop.profile]
postal_address = "〒100-0001 東京都千代田区千代田1-1-1"
phone = "03-1234-5678"
"""


def read(folder: Path, text: str) -> Settings | list[str]:
    file = folder / "sokutatsu.toml"
    file.write_text(text, encoding="utf-8")
    return read_configuration(file)


def settings(folder: Path, text: str) -> Settings:
    found = read(folder, text)
    assert isinstance(found, Settings), found
    return found


def test_a_profile_reaches_the_sender_whole(tmp_path: Path) -> None:
    more = 'contact_mail = "a@example.jp"\nindividual = true\nlanguage = "en"\n'
    order = '[senders.shop.profile.mail_order]\ntokusho_url = "https://example.jp/t"\n'
    sender = settings(tmp_path, START + PROFILE + more + order).senders["shop"]
    assert sender.identity.legal_name == sender.legal_name == "株式会社れい"
    assert sender.identity.profile == Profile(
        "〒100-0001 東京都千代田区千代田1-1-1", "03-1234-5678", "a@example.jp", individual=True, language=Language.EN,
        mail_order=MailOrder(tokusho_url="https://example.jp/t"),
    )  # fmt: skip
    assert sender.lint is LintMode.AUTO


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("株式会社れい", "㈱れい", ":7: senders.shop.legal_name: '\\u3231\\u308c\\u3044': has ㈱: write 株式会社"),
        ("株式会社れい", "（株）れい", ":7: senders.shop.legal_name: '\\uff08\\u682a\\uff09\\u308c\\u3044': has （株）: write 株式会社"),
        ("株式会社れい", "ｶ)れい", ":7: senders.shop.legal_name: '\\uff76)\\u308c\\u3044': has 'ｶ': write 'カ'"),
        ("〒100-0001 東京都千代田区千代田1-1-1", "", ":14: senders.shop.profile.postal_address: is missing"),
        ("03-1234-5678", "none", ":15: senders.shop.profile.phone: 'none': write digits"),
        ('phone = "03-1234-5678"', "", ":13: senders.shop.profile.phone: give phone, contact_mail or contact_url"),
        ('phone = "03-1234-5678"', "fax = 1", ":15: senders.shop.profile.fax: unknown key"),
        ('phone = "03-1234-5678"', "phone = 3", ":15: senders.shop.profile.phone: 3: write text"),
        ('phone = "03-1234-5678"', 'language = "fr"', ":15: senders.shop.profile.language: 'fr': write one of ja, en"),
        ('phone = "03-1234-5678"', "mail_order = 1", ": senders.shop.profile.mail_order: 1 is not a table"),
        ("[senders.shop.profile]", "[senders.shop]\nprofile = 1\n[was]", ""),
        ("unsubscribe_url", 'lint = "no"\nunsubscribe_url', ":9: senders.shop.lint: 'no': write one of auto, enforce"),
    ],
)  # fmt: skip
def test_every_fault_has_its_key_and_remedy(tmp_path: Path, old: str, new: str, error: str) -> None:
    assert old in START + PROFILE
    found = read(tmp_path, (START + PROFILE).replace(old, new, 1))
    assert isinstance(found, list)
    wanted = error.split(": ", 1)[1] if error.startswith(": ") else error
    assert any(wanted in line for line in found), found


def test_a_profile_that_is_no_table(tmp_path: Path) -> None:
    found = read(tmp_path, START.replace("[[senders", "profile = 1\n[[senders", 1))
    assert isinstance(found, list)
    assert found[0].endswith(":10: senders.shop.profile: 1 is not a table; write [senders.shop.profile]")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (START + PROFILE, []),
        (START, ["senders.shop has no profile"]),
        (START.replace("unsubscribe_url", 'categories = ["TX"]\nunsubscribe_url'), []),
        (START.replace("unsubscribe_url", 'lint = "off"\nunsubscribe_url') + PROFILE, ["senders.shop.lint is off"]),
        (START.replace("れい", "髙島") + PROFILE, ["legal_name: '髙'"]),
        (START + PROFILE + 'representative = "山﨑"\n', ["representative: '﨑'"]),
    ],
)
def test_what_is_allowed_and_not_well_is_a_caution(tmp_path: Path, text: str, words: list[str]) -> None:
    found = list(cautions(settings(tmp_path, text)))
    assert len(found) == len(words)
    assert all(word in line for word, line in zip(words, found, strict=True))
