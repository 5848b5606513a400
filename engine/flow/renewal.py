"""A path under another configuration: limits, source, provider and route replaced, and what it has learnt kept.

Nothing here decides who goes where (ways.py). What is on the wire ends by itself; a connection that was made in another
way than the next one would be (another address, greeting, TLS or login) ends after the transaction that it is in.
"""

from __future__ import annotations

from engine.flow.path import Path
from engine.net.resolver import Route
from engine.policy.brake import normal_of
from engine.policy.provider import Share
from engine.policy.shaping import Limits
from engine.policy.source import DEFAULT, Source
from engine.policy.throttle import Rate, Throttle


def renew(path: Path, limits: Limits, source: Source, provider: str, share: Share | None) -> None:
    """Costs nothing when nothing is new."""
    old = path.limits
    if (limits, source, provider) == (old, path.source, path.provider) and share is path.share:
        return
    is_otherwise_made = source != path.source or _made_by(limits) != _made_by(old)
    path.limits, path.source, path.provider, path.share = limits, source, provider, share
    path.egress = "" if source.name == DEFAULT else source.name
    path.ready.limit = limits.max_ready
    path.sour_throttle = _throttle(path.sour_throttle, limits.deferring_message_rate)
    path.throttle = _throttle(path.throttle, limits.max_message_rate)
    path.brake.adopt(normal_of(limits))
    path.pool.adopt(limits, share)
    if is_otherwise_made:
        end_connections(path)
    path.rein()


def reroute(path: Path, route: Route) -> None:
    """The same site; how it is reached may be new. What another host or port has refused is held against nobody."""
    old, path.route = path.route, route
    if route != old:
        end_connections(path)
    if (route.host, route.port) != (old.host, old.port):
        path.pool.forget_refusals()
        path.pump()


def end_connections(path: Path) -> None:
    for connection in list(path.pool.connections):
        connection.quit()


def _made_by(limits: Limits) -> tuple[object, ...]:
    return limits.enable_tls, limits.enable_pipelining


def _throttle(old: Throttle | None, rate: Rate | None) -> Throttle | None:
    """The same rate goes on where it is: a reload is no way around it."""
    if old is not None and old.rate == rate:
        return old
    return Throttle(rate) if rate else None
