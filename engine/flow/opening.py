"""Opens a connection for a path: addresses in their order, TLS as the limits say, plain text only where allowed.

Opportunistic TLS that breaks is remembered for a while, so that not every connection fails first. A required one is
never replaced by plain text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.flow.path import ONLY_SOURCE, Path
from engine.net.connection import Connection, Timeouts
from engine.net.negotiate import Durations, Refused, TlsContexts, open_connection
from engine.net.resolver import ResolveFailure, Resolver, Target, TlsMode
from engine.policy.shaping import Limits
from engine.smtp.event import Phase

ADDRESSES_TRIED = 5
REMEMBER_BROKEN_TLS = 3600.0
MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class OpeningSettings:
    ehlo_name: str
    source_address: str | None


class Opening:
    """Implements dispatch.Opener."""

    def __init__(
        self,
        settings: OpeningSettings,
        *,
        resolver: Resolver,
        contexts: TlsContexts,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._resolver = resolver
        self._contexts = contexts
        self._clock = clock
        self._broken_tls: dict[str, float] = {}
        self.tls_fallbacks = 0
        self.durations = Durations()

    async def __call__(self, path: Path) -> Connection | Refused:
        targets = await self._resolver.targets(path.route)
        if isinstance(targets, ResolveFailure):
            return Refused(Phase.CONNECT, None, targets.text)
        result: Connection | Refused = Refused(Phase.CONNECT, None, "no address to connect to")
        for target in targets[:ADDRESSES_TRIED]:
            result = await self._try(target, path)
            if isinstance(result, Connection) or result.is_local:
                return result
        return result

    async def _try(self, target: Target, path: Path) -> Connection | Refused:
        mode = self._mode(target, path.limits)
        result = await self._open(target, path, mode)
        if isinstance(result, Connection) or not result.tls_failed or mode.is_required or mode is TlsMode.DISABLED:
            return result
        self.tls_fallbacks += 1
        if len(self._broken_tls) >= MOST_REMEMBERED:
            self._broken_tls.clear()
        self._broken_tls[target.address] = self._clock() + REMEMBER_BROKEN_TLS
        return await self._open(target, path, TlsMode.DISABLED)

    def _mode(self, target: Target, limits: Limits) -> TlsMode:
        """The route's word and the limits' word: the stricter one."""
        shaped = TlsMode(limits.enable_tls)
        mode = target.tls if target.tls.is_required or shaped is TlsMode.OPPORTUNISTIC else shaped
        if mode.is_required or mode is TlsMode.DISABLED:
            return mode
        return TlsMode.DISABLED if self._broken_tls.get(target.address, 0.0) > self._clock() else mode

    async def _open(self, target: Target, path: Path, mode: TlsMode) -> Connection | Refused:
        limits, source = path.limits, path.source
        own = self._settings if source is ONLY_SOURCE else OpeningSettings(source.ehlo_name, source.address or None)
        return await open_connection(
            target,
            ehlo_name=own.ehlo_name,
            tls=mode,
            contexts=self._contexts,
            credentials=target.credentials,
            timeouts=timeouts_of(limits),
            source_address=own.source_address,
            pipelining=limits.enable_pipelining,
            durations=self.durations,
        )


def timeouts_of(limits: Limits) -> Timeouts:
    return Timeouts(
        connect=limits.connect_timeout,
        banner=limits.banner_timeout,
        ehlo=limits.ehlo_timeout,
        starttls=limits.starttls_timeout,
        auth=limits.auth_timeout,
        mail_from=limits.mail_from_timeout,
        rcpt_to=limits.rcpt_to_timeout,
        data=limits.data_timeout,
        data_dot=limits.data_dot_timeout,
        rset=limits.rset_timeout,
        quit=limits.rset_timeout,
    )
