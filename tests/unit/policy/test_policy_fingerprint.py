from __future__ import annotations

import pytest

from engine.policy import fingerprint as module
from engine.policy.fingerprint import Unclassified, fingerprint
from engine.smtp.reply import Reply


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<neko@example.jp>: no", "550 5.7.1 ADDRESS: no"),
        ("mail from [192.0.2.1] to neko@example.jp refused", "550 5.7.1 mail from IP to ADDRESS refused"),
        ("2001:db8::1 is not welcome", "550 5.7.1 IP is not welcome"),
        ("see https://example.jp/x?y=neko for 17 reasons", "550 5.7.1 see URL for N reasons"),
        ("Session 3f6c21d8ab at mx1.example.jp", "550 5.7.1 session ID at HOST"),
        ("two\nlines\x1b[2J here", "550 5.7.1 two lines?[Nj here"),
        ("x" * 1000, "550 5.7.1 " + "x" * 120),
        ("", "550 5.7.1"),
    ],
)
def test_a_fingerprint_names_nobody(text: str, found: str) -> None:
    assert fingerprint(Reply(550, "5.7.1", text)) == found


def test_hostile_text_is_cut_before_it_costs() -> None:
    for text in ("a@" * 10_000, ":" * 10_000, "a." * 10_000, "<" * 10_000, "1." * 10_000, "a-" * 10_000):
        assert len(fingerprint(Reply(550, "", text))) <= 130


def test_the_frequent_is_on_top_and_our_own_is_not_counted() -> None:
    unknown = Unclassified()
    for number in range(3):
        unknown.note("RCPT", "docomo", Reply(550, "", f"nyaan {number}"))
    unknown.note("DOT", "", Reply(550, "", "wan"))
    unknown.note("DOT", "", Reply(451, "", "local: no route"))
    unknown.note("DOT", "", Reply(0, "", "lost"))
    assert unknown.top() == [
        {"reply": "550 nyaan N", "phase": "RCPT", "provider": "docomo", "count": 3},
        {"reply": "550 wan", "phase": "DOT", "provider": "", "count": 1},
    ]
    assert unknown.top(1) == unknown.top()[:1]
    assert unknown.total == 4


def test_the_count_is_bounded_and_keeps_what_is_frequent() -> None:
    unknown = Unclassified()
    letters = [chr(ord("a") + n // 26) + chr(ord("a") + n % 26) for n in range(600)]
    for letter in letters:
        unknown.note("RCPT", "", Reply(550, "", "often"))
        unknown.note("RCPT", "", Reply(550, "", f"once {letter}"))
    assert unknown.top(1)[0]["reply"] == "550 often"
    assert unknown.top(1)[0]["count"] == 600
    assert len(unknown.top(1000)) == module.MOST
