"""Accept-Language (RFC 9110 12.5.4), and a choice that beats it."""

from __future__ import annotations

import pytest

from engine.web.language import language_of


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("", "ja"),
        ("ja", "ja"),
        ("JA-jp", "ja"),
        ("en", "en"),
        ("en-US,en;q=0.9", "en"),
        ("en-US,en;q=0.9,ja;q=0.8", "en"),
        ("ja,en-US;q=0.9,en;q=0.8", "ja"),
        ("en;q=0.5, ja;q=0.9", "ja"),
        ("fr-FR, ja;q=0.3", "ja"),
        ("fr-FR, fr;q=0.9", "en"),
        ("*", "ja"),
        ("ja;q=0, *", "en"),
        ("ja;q=0", "en"),
        ("en;q=0", "ja"),
        ("en;q=0, ja;q=0", "en"),
        ("en;q=2, ja;q=0.1", "ja"),
        ("en;q=x, ja;q=0.1", "ja"),
        ("en;level=1;q=0.2, ja;q=0.1", "en"),
        ("en;q=1.000, ja;q=0.999", "en"),
        (",,;;=", "en"),
        ("x" * 100_000 + ",ja", "en"),
    ],
)
def test_accepted(accepted, expected) -> None:
    assert language_of(accepted) == expected


def test_a_choice_beats_the_browser() -> None:
    assert language_of("ja", "en") == "en"
    assert language_of("en", "ja") == "ja"
    assert language_of("en", "xx") == "en"
