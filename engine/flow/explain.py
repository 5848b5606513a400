"""Why is this not going? One domain's site, provider, limits and their origin, what binds now, what waits, and an ETA.

Nothing is decided here: it reads what promote and the paths decide by, in the order in which they are stopped. Walks
the lanes once a question, never a recipient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any

from engine.flow.path import Path
from engine.flow.steering import Steering
from engine.flow.ways import Place, Ways
from engine.mail.envelope import Priority
from engine.net.resolver import ResolveFailure
from engine.policy.directive import Directive, Scope, Verb
from engine.policy.shaping import Limits, Shaping
from engine.queue.timeline import Timeline
from engine.spool.port import Cursor, Lane

MOST_PATHS = 50


class Explain:
    def __init__(
        self,
        *,
        ways: Ways,
        steering: Steering,
        shaping: Shaping,
        timeline: Timeline[Lane, Cursor],
        clock: Callable[[], float],
    ) -> None:
        self._ways = ways
        self._steering = steering
        self._shaping = shaping
        self._timeline = timeline
        self._clock = clock

    def use(self, shaping: Shaping) -> None:
        self._shaping = shaping

    def unknown(self, scope: Scope) -> str:
        """The first of domain and site that nothing waits for, and that no configuration and no receiver told of;
        empty: both are known, or not named.
        """
        domain, ways = scope.domain, self._ways
        is_named = not domain or ways.knows_domain(domain) or self._shaping.is_own(domain)
        if not (is_named or any(lane.domain == domain for lane in self._timeline)):
            return "domain"
        return "" if not scope.site or ways.knows_site(scope.site) else "site"

    def domain(self, domain: str) -> dict[str, Any]:
        now = self._clock()
        found = self._ways.place(domain)
        place = found if isinstance(found, Place) else None
        waiting = self._waiting(domain)
        told: dict[str, Any] = {"domain": domain, "site": "", "provider": "", "waiting": waiting}
        directives = self._directives(domain, place)
        told["directives"] = [shown_directive(one, now) for one in directives]
        if place is None:
            why = (
                found.text
                if isinstance(found, ResolveFailure)
                else "not looked up yet: nothing was mailed there lately"
            )
            return told | {"binds": {"what": "no_route", "from": why, "seconds": None},
                           "limits": [], "paths": [], "eta_seconds": None}  # fmt: skip
        told["site"], told["provider"] = place.route.site, place.provider
        told["route"] = {"host": place.route.host, "port": place.route.port, "tls": str(place.route.tls)}
        told["mx_hosts"] = list(getattr(place.route, "mx_hosts", ()))
        paths = [path for path in self._ways.paths.values() if path.site == place.name][:MOST_PATHS]
        told["limits"] = self._limits(place, paths)
        told["paths"] = [self._path(path, now) for path in paths]
        told["warmup"] = self._ways.outlets.status(now)
        told["binds"] = binds = self._binds(domain, place, directives, paths, now)
        expected = [path.limits for path in paths] or [
            self._shaping.limits(place.route.site, place.domain, place.provider, source)
            for source in self._ways.outlets.sources
        ]
        told["eta_seconds"] = self._eta(sum(waiting.values()), paths, expected, binds)
        return told

    def _waiting(self, domain: str) -> dict[str, int]:
        counts = {priority.name.lower(): 0 for priority in Priority}
        for lane in self._timeline:
            if lane.domain == domain:
                counts[lane.priority.name.lower()] += max(0, self._timeline.waiting(lane))
        return counts

    def _directives(self, domain: str, place: Place | None) -> list[Directive]:
        """All that could concern mail to the domain, of whatever source, sender or mailing; the youngest first."""
        facts = Scope(domain, place.provider if place else "", place.route.site if place else "")
        return [
            one
            for one in reversed(self._steering.directives.values())
            if Scope(one.scope.domain, one.scope.provider, one.scope.site).covers(facts)
        ]

    def _limits(self, place: Place, paths: list[Path]) -> list[dict[str, Any]]:
        """The first path's, or those that the first would have; keys that nobody has set say "engine"."""
        source = paths[0].source.name if paths else next(iter(self._ways.outlets.sources))
        names = (place.route.site, place.domain, place.provider, source)
        limits, origins = self._shaping.limits(*names), self._shaping.origins(*names)
        brake = paths[0].brake.changes if paths else {}
        rows = []
        for entry in fields(Limits):
            row = {"key": entry.name, "value": _value(entry.name, getattr(limits, entry.name)),
                   "from": origins.get(entry.name, "engine")}  # fmt: skip
            if entry.name in brake:
                change = brake[entry.name]
                value = paths[0].brake.value(entry.name)
                row |= {"value": _value(entry.name, value), "from": f"automation {change.rule}"}
            rows.append(row)
        return rows

    def _path(self, path: Path, now: float) -> dict[str, Any]:
        pool = path.pool
        return {
            "source": path.source.name,
            "ready": len(path.ready),
            "in_flight": path.in_flight,
            "connections": len(pool.connections),
            "window": pool.window.size,
            "connection_limit": pool.cap,
            "paused_seconds": max(0.0, round(pool.paused_until - now, 1)),
            "binds": path.bind,
            "last_error": pool.last_error,
            "delivered": path.counts.delivered,
            "deferred": path.counts.deferred,
            "failed": path.counts.failed,
            "rate": round(path.counts.rate, 2),
            "brakes": [
                {"key": key, "value": round(change.value, 4), "rule": change.rule, "rises": bool(change.step),
                 "seconds": max(0.0, round(change.until - now, 1))}
                for key, change in path.brake.changes.items()
            ],
        }  # fmt: skip

    def _binds(
        self, domain: str, place: Place, directives: list[Directive], paths: list[Path], now: float
    ) -> dict[str, Any]:
        for one in directives:
            if one.verb is not Verb.REROUTE and not one.scope.is_of_senders and not one.scope.source:
                return _bind(str(one.verb), f"directive {one.number} by {one.by}: {one.reason}", one.until, now)
        until = self._ways.rest(place, domain, now)
        if until:
            return _bind("quiet", "quiet_hours or spread_minute of the shaping (bulk only)", until, now)
        sources = list(self._ways.outlets.sources)
        blocked = [self._steering.blocking(Scope(domain, place.provider, place.route.site, name)) for name in sources]
        if all(blocked) and blocked[0]:
            one = blocked[0]
            return _bind("suspend", f"directive {one.number} by {one.by}: {one.reason}", one.until, now)
        cold = [name for name in sources if self._ways.outlets.is_cold(name, place.provider, now)]
        if len(cold) == len(sources):
            until = min(self._ways.outlets.next_day(name, now) for name in cold)
            return _bind("warmup", f"today's budget of {', '.join(cold)[:80]} is used up", until, now)
        for path in paths:
            if path.pool.paused_until > now:
                what = "connection" if path.pool.failures else path.bind or "pause"
                why = path.pool.last_error or "a reply asked for it"
                return _bind(what, why, path.pool.paused_until, now)
        return self._limit(place, paths, now)

    def _limit(self, place: Place, paths: list[Path], now: float) -> dict[str, Any]:
        source = paths[0].source.name if paths else ""
        origins = self._shaping.origins(place.route.site, place.domain, place.provider, source)
        for path in paths:
            if path.bind in path.brake.changes:
                return _bind(path.bind, f"automation {path.brake.changes[path.bind].rule}", None, now)
            if path.bind:
                return _bind(path.bind, origins.get(path.bind, "engine"), None, now)
            if len(path.ready) and len(path.pool.connections) >= min(path.pool.window.size, path.pool.cap):
                what = "connection_limit" if path.pool.window.size >= path.limits.connection_limit else "window"
                where = origins.get("connection_limit", "engine") if what != "window" else "grows by successes"
                return _bind(what, where, None, now)
        return _bind("", "", None, now)

    @staticmethod
    def _eta(waiting: int, paths: list[Path], expected: list[Limits], binds: dict[str, Any]) -> float | None:
        """Seconds until all that waits has been tried once at the rate of the last moments, or at the limit's where
        nothing has gone. None: nobody knows.
        """
        total = waiting + sum(len(path.ready) + path.in_flight for path in paths)
        if not total:
            return 0.0
        held = binds["seconds"]
        if binds["what"] in ("suspend", "bounce", "no_route") and held is None:
            return None
        rate = sum(path.counts.rate for path in paths)
        if rate < 0.01 or held:
            ceilings = [limits.max_message_rate for limits in expected]
            rate = sum(one.count / one.seconds for one in ceilings if one) or rate
        return round((held or 0.0) + total / rate, 1) if rate else None


def _bind(what: str, where: str, until: float | None, now: float) -> dict[str, Any]:
    return {"what": what, "from": where, "seconds": None if until is None else max(0.0, round(until - now, 1))}


def _value(key: str, value: object) -> object:
    if value is None:
        return "" if key == "quiet_hours" else "unlimited"
    if isinstance(value, tuple):
        return [*value]
    return value if isinstance(value, int | float | str) else str(value)


def shown_directive(directive: Directive, now: float) -> dict[str, Any]:
    """For status and why: what it names, and the seconds that it has left."""
    scope = {name: value for name, value in asdict(directive.scope).items() if value}
    left = None if directive.until is None else max(0.0, round(directive.until - now, 1))
    return {
        "number": directive.number, "verb": str(directive.verb), "scope": scope, "seconds": left,
        "reason": directive.reason, "by": directive.by, "pool": directive.pool, "to": directive.to,
    }  # fmt: skip
