"""TLS sessions taken up again (RFC 8446 2.2, RFC 5077): half the processor time of a handshake, by host name.

asyncio, uvloop and aiosmtplib have no argument for a session, but all of them ask the context for the object that
talks; so the context gives it one. A session is only as good as the handshake that began it, so it stays within its
context (verified or not) and its host, and ends after an hour. OpenSSL itself ends one whose connection was cut instead
of closed. Who fails with one is to try once more without.
"""

from __future__ import annotations

import ssl
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

SECONDS: Final = 3600.0
MOST: Final = 2000


class ResumingContext(ssl.SSLContext):
    """A client's context. Make it by `resuming`."""

    sessions: OrderedDict[str, tuple[ssl.SSLSession, float]]
    clock: Callable[[], float]

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        if session is None and isinstance(server_hostname, str):
            known = self.sessions.get(server_hostname)
            session = known[0] if known and known[1] > self.clock() else None
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)

    def keep(self, host: str, session: ssl.SSLSession | None) -> None:
        """After the server has spoken under TLS: before that its ticket is not there."""
        if session is None or not session.has_ticket:
            return
        known = self.sessions.get(host)
        # One that was taken up goes on under the hour of the handshake that began it.
        until = known[1] if known and known[1] > self.clock() else self.clock() + SECONDS
        self.sessions[host] = session, until
        self.sessions.move_to_end(host)
        while len(self.sessions) > MOST:
            self.sessions.popitem(last=False)

    def forget(self, host: str) -> bool:
        """Whether there was one."""
        return self.sessions.pop(host, None) is not None


def resuming(cafile: str | None = None, clock: Callable[[], float] = time.monotonic) -> ResumingContext:
    """As ssl.create_default_context, TLS 1.2 or newer. Raises OSError (ssl.SSLError too)."""
    model = ssl.create_default_context(cafile=cafile)
    context = ResumingContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sessions = OrderedDict()
    context.clock = clock
    context.verify_flags = model.verify_flags
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cafile:
        context.load_verify_locations(cafile)
    else:
        context.load_default_certs()
    return context
