"""Who may act on the live page: whoever shows the token, from the page itself, and not a guesser.

The token comes in the Authorization field only, which no form and no foreign page can set; Origin and Sec-Fetch-Site
must be the page's own all the same. Comparison takes the same time wherever the texts differ. Failures are limited by
source, in a bounded table, and each is logged.
"""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from engine.page.token import TokenError, read_token
from engine.web.source import UNKNOWN, Strangers

log = logging.getLogger(__name__)

FAILURES_RATE = 0.1
"""Wrong tokens a second from one source, after a first few at once."""
FAILURES_BURST = 5


class Permit:
    def __init__(self, token_file: Path, clock: Callable[[], float]) -> None:
        self._file = token_file
        self._clock = clock
        self._failed = Strangers(FAILURES_RATE, FAILURES_BURST)

    @property
    def is_possible(self) -> bool:
        """There is a token file, whether or not it is in order."""
        return self._file.exists()

    def check(self, request: web.Request) -> None:
        """Raises an aiohttp answer: 403, 401, 429 or 503."""
        refuse_foreign(request)
        if request.content_type != "application/json":
            raise refusal(web.HTTPUnsupportedMediaType, "json", "send application/json")
        try:
            token = read_token(self._file)
        except TokenError as error:
            log.error("%s", error)  # noqa: TRY400 - the text says it all
            raise refusal(
                web.HTTPServiceUnavailable, "token_file", "the token file is not in order: see the log"
            ) from None
        if not token:
            raise refusal(web.HTTPForbidden, "no_token", "no token file: run sokutatsu admin-token on the machine")
        scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        is_right = hmac.compare_digest(given.strip().encode("utf-8", "replace"), token.encode())
        if is_right and scheme.lower() == "bearer":
            return
        source = request.remote or UNKNOWN
        wait = self._failed.wait(source, self._clock())
        log.warning("live page: wrong or no token from %s", ascii(source)[:80])
        if wait:
            answer = refusal(web.HTTPTooManyRequests, "limited", "too many wrong tokens: wait")
            answer.headers[hdrs.RETRY_AFTER] = str(int(wait) + 1)
            raise answer
        answer = refusal(web.HTTPUnauthorized, "token", "this is not the token")
        answer.headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
        raise answer


def refuse_foreign(request: web.Request) -> None:
    """A page of another origin may neither act nor make us work (Fetch: Origin, Sec-Fetch-Site)."""
    origins = request.headers.getall(hdrs.ORIGIN, [])
    is_ours = all(urlsplit(origin).netloc.lower() == request.host.lower() for origin in origins[:2])
    if len(origins) > 1 or not is_ours:
        raise refusal(web.HTTPForbidden, "origin", "asked from another page")
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise refusal(web.HTTPForbidden, "origin", "asked from another page")


def refusal(kind: type[web.HTTPException], code: str, text: str) -> web.HTTPException:
    body = json.dumps({"error": {"code": code, "text": text}})
    return kind(text=body, content_type="application/json", headers={hdrs.CACHE_CONTROL: "no-store"})
