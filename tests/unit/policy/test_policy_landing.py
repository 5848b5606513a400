"""What an opt-out page answered, judged."""

from __future__ import annotations

import pytest

from engine.policy.landing import judge_page
from engine.policy.readiness import Level

URL = "https://shop.example/u/0"


@pytest.mark.parametrize(
    ("status", "location", "body", "code", "level"),
    [
        (200, "", b"<p>stop</p>", "optout.page", Level.OK),
        (200, "", None, "optout.page", Level.OK),
        (200, "", b'<form><input name=x type = "PASSWORD"></form>', "optout.login", Level.REFUSE),
        (401, "", b"", "optout.login", Level.REFUSE),
        (403, "", b"", "optout.login", Level.REFUSE),
        (302, "/login?next=/u/0", b"", "optout.login", Level.REFUSE),
        (302, "https://id.shop.example/oauth2/start", b"", "optout.login", Level.REFUSE),
        (303, "/members/sign-in", b"", "optout.login", Level.REFUSE),
        (301, "https://shop.example/author/", b"", "optout.moved", Level.WARN),
        (302, "/u/0#login", b"", "optout.moved", Level.WARN),
        (404, "", b"", "optout.unknown_token", Level.WARN),
        (410, "", b"", "optout.unknown_token", Level.WARN),
        (500, "", b"", "optout.error", Level.REFUSE),
        (204, "", b"", "optout.error", Level.REFUSE),
    ],
)
def test_a_page(status, location, body, code, level) -> None:
    found = judge_page(URL, status, location, body)
    assert (found.code, found.level, found.subject) == (code, level, URL)


def test_what_a_server_said_is_shown_without_control_characters() -> None:
    assert "\x1b" not in judge_page(URL, 301, "/\x1b[2Jelse", b"").found
