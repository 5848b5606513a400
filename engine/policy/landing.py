"""Does an opt-out page let its reader refuse? What its server answered, judged (施行規則 8条1号: 明瞭かつ平易).

The law wants a page that is clear and easily understood; a login before it is refused, and so is nothing. The link that
was tried had a made-up token, so that a page which says that it knows nobody is no fault, if a doubt.
"""

from __future__ import annotations

import re
from typing import Final

from engine.policy.readiness import Finding, Level, shown

_LOGIN: Final = re.compile(
    r"(?:^|[/._?&=-])(?:log-?in|sign-?in|sso|oauth2?|auth|session)(?:[/._?&=-]|$)", re.IGNORECASE
)
"""In the path of a redirect."""
_PASSWORD: Final = re.compile(rb"<input[^<>]{0,500}type\s{0,9}=\s{0,9}[\"']?password", re.IGNORECASE)
_ASKS_WHO: Final = frozenset({401, 403, 407})
_KNOWS_NOBODY: Final = frozenset({400, 404, 410, 422})


def judge_page(url: str, status: int, location: str, body: bytes | None) -> Finding:
    """`body`: None when it was longer than is looked at."""
    if status in _ASKS_WHO or (location and _LOGIN.search(location.partition("#")[0])):
        return Finding("optout.login", Level.REFUSE, url, shown(location) or str(status))
    if body and _PASSWORD.search(body):
        return Finding("optout.login", Level.REFUSE, url, "a field for a password")
    if status == 200:
        return Finding("optout.page", Level.OK, url)
    if 300 <= status < 400:
        return Finding("optout.moved", Level.WARN, url, shown(f"{status} {location}"))
    if status in _KNOWS_NOBODY:
        return Finding("optout.unknown_token", Level.WARN, url, str(status))
    return Finding("optout.error", Level.REFUSE, url, str(status))
