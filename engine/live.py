"""What the live page shows of a running engine: bounded tables of what has the most, texts of strangers made harmless.

Walks paths (10,000 at most) and, in small steps, lanes; never recipients. What costs time is made anew the less often,
the longer it takes. Nothing here is decided by, and nothing changes.
"""

from __future__ import annotations

import heapq
import os
import resource
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Generic, TypeVar

from engine import __version__
from engine.engine import Engine
from engine.flow.explain import shown_directive
from engine.flow.path import Path
from engine.flow.ways import Place
from engine.mail.envelope import Priority
from engine.observe import places
from engine.page.feed import SHARE, Source
from engine.page.series import Sample
from engine.page.survey import Lanes, Surveyed, survey
from engine.policy.directive import Scope, Verb
from engine.spool.port import Lane, Outcome
from suppression.reasons import text

MOST_SITES = 50
MOST_MAILINGS = 50
MOST_REMARKS = 100
MOST_DIRECTIVES = 50
MOST_REASONS = 50
MOST_UNRESOLVED = 20
LONGEST_TEXT = 300
T = TypeVar("T")


def live(engine: Engine, healthy: Callable[[], str]) -> Source:
    """`healthy`: empty, or what is wrong for good."""
    view = _View(engine, healthy)
    return Source(view.sample, view.sections, view.slow, view.answer, engine.clock)


class _Paced(Generic[T]):
    """The last value, until it has rested for SHARE times what it cost."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._due = 0.0
        self._made: T | None = None

    def get(self) -> T:
        began = time.monotonic()
        if self._made is None or began >= self._due:
            self._made = self._make()
            self._due = began + SHARE * (time.monotonic() - began)
        return self._made


class _View:
    def __init__(self, engine: Engine, healthy: Callable[[], str]) -> None:
        self._engine = engine
        self._healthy = healthy
        self._surveyed = Surveyed()
        self._placed: dict[str, str] = {}
        """Domain -> site where its mail was last on its way to: nobody asks DNS again for what is suspended."""
        self._sites = _Paced(lambda: _sites(self._engine, self._surveyed))
        self._places = _Paced(lambda: places(self._engine))
        self._cpu = (time.monotonic(), time.process_time())

    def answer(self, request: Any) -> Awaitable[Mapping[str, object]]:
        return self._engine.requests.answer(request)

    def sample(self) -> Sample:
        engine, outcomes = self._engine, self._engine.counts.outcomes
        return Sample(
            engine.accept.counts.recipients,
            outcomes[Outcome.DELIVERED],
            engine.counts.deferrals,
            outcomes[Outcome.BOUNCED] + outcomes[Outcome.EXPIRED],
            outcomes[Outcome.SUPPRESSED],
            engine.timeline.total() + len(engine.roster),
        )

    def sections(self) -> Mapping[str, object]:
        engine = self._engine
        now = engine.clock()
        standing = list(reversed(engine.dispatch.steering.directives.values()))
        return {
            "now": self._now(),
            "facts": self._facts(),
            "sites": self._sites.get(),
            "suppressed": _suppressed(engine),
            "remarks": [
                {"site": shown(one.site), "kind": one.kind, "text": shown(one.text), "count": one.count,
                 "at": int(one.at)}
                for one in engine.counts.remarks.latest(MOST_REMARKS)
            ],
            "unresolved": _unresolved(engine),
            "directives": {
                "total": len(standing),
                "rows": [_directive(shown_directive(one, now)) for one in standing[:MOST_DIRECTIVES]],
            },
        }  # fmt: skip

    async def slow(self) -> Mapping[str, object]:
        engine = self._engine
        ways, timeline = engine.dispatch.ways, engine.timeline

        placed: dict[str, str] = {}

        def site(domain: str) -> str:
            place = ways.place(domain)
            name = place.name if isinstance(place, Place) else self._placed.get(domain, "")
            if name:
                placed[domain] = name
            return name

        lanes: Lanes[Lane] = Lanes(lambda: timeline, timeline.waiting, lambda lane: lane.domain, site)
        self._surveyed = found = await survey(lanes)
        self._placed = placed
        mailings = await engine.spool.newest_totals(MOST_MAILINGS)
        return {
            "domains": {
                "total": found.domains_total,
                "unplaced": found.by_site.get("", 0),
                "rows": [{"domain": shown(domain), "waiting": waiting} for domain, waiting in found.domains],
            },
            "mailings": [
                {
                    "sender": one.sender, "mailing": one.mailing, "accepted": one.accepted, "open": one.open,
                    "delivered": one.delivered, "bounced": one.bounced, "expired": one.expired,
                    "suppressed": one.suppressed, "cancelled": one.cancelled, "began": int(one.first_accepted_at),
                    "changed": int(one.last_change_at), "is_cancelled": one.cancelled_at is not None,
                }
                for one in mailings
            ],
        }  # fmt: skip

    def _now(self) -> dict[str, Any]:
        engine, counts = self._engine, self._engine.counts
        held_by = self._places.get()
        outcomes = {str(outcome): number for outcome, number in counts.outcomes.items()}
        fault, waits = self._healthy(), engine.not_ready()
        state = "fault" if fault else "draining" if engine.draining else "blocked" if waits else "running"
        return {
            "at": int(engine.clock()),
            "state": state,
            "problem": "" if engine.draining and not fault else shown(fault or waits),
            "uptime": int(engine.clock() - engine.started_at),
            "accepted": counts.recovered + engine.accept.counts.recipients,
            "recovered": counts.recovered,
            "outcomes": outcomes,
            "places": held_by,
            "deferrals": counts.deferrals,
            "attempts": counts.attempts,
            "in_doubt": counts.in_doubt,
            "resent_in_doubt": counts.resent_in_doubt,
            "credit": engine.credit(),
            "unsynced": engine.settle.backlog,
            "first_attempt": {
                priority.name.lower(): _finite(counts.first_attempt[priority].quantile(0.99)) for priority in Priority
            },
        }

    def _facts(self) -> dict[str, Any]:
        engine = self._engine
        disk = os.statvfs(engine.settings.spool.folder)
        before, self._cpu = self._cpu, (time.monotonic(), time.process_time())
        took = self._cpu[0] - before[0]
        return {
            "version": __version__,
            "node": engine.node,
            "cpu": round((self._cpu[1] - before[1]) / took, 2) if took > 0.1 else None,
            "memory": _resident(),
            "disk_free": disk.f_bavail * disk.f_frsize,
            "disk_ratio": round(disk.f_bavail / disk.f_blocks, 3) if disk.f_blocks else 0.0,
            "signer": engine.signer.backend,
            "signer_processes": len(engine.signer.pids),
            "signer_backlog": engine.signer.backlog,
            "signer_fallbacks": engine.signer.counts.fallbacks,
            "epoch": engine.suppression.epoch,
            "entries": engine.suppression.entries,
            "sites": len(engine.dispatch.paths),
            "connections": sum(len(path.pool.connections) for path in engine.dispatch.paths.busy),
        }


def _finite(value: float) -> float | None:
    return None if value == float("inf") else value


def _resident() -> int:
    """Bytes."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - each second, and never blocks
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def shown(text: str) -> str:
    """A stranger's text: one line, cut, without what steers terminals or turns the writing direction."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:LONGEST_TEXT])


def _directive(told: dict[str, Any]) -> dict[str, Any]:
    scope = {name: shown(value) for name, value in told["scope"].items()}
    return told | {"scope": scope, "reason": shown(told["reason"])}


@lru_cache(maxsize=512)
def _reason(code: str) -> tuple[str, str]:
    return text(code)


def _suppressed(engine: Engine) -> list[dict[str, Any]]:
    counts = heapq.nlargest(MOST_REASONS, engine.counts.suppressed_by_reason.items(), key=lambda entry: entry[1])
    return [
        {"code": code, "count": count, "ja": ja, "en": en}
        for code, count in counts
        for ja, en in [_reason(code)]
    ]  # fmt: skip


def _unresolved(engine: Engine) -> dict[str, Any]:
    waiting = [
        (engine.timeline.waiting(lane), lane.domain, failure) for lane, failure in engine.promote.unresolved().items()
    ]
    largest = heapq.nlargest(MOST_UNRESOLVED, waiting, key=lambda entry: entry[:2])
    return {
        "total": len(waiting),
        "rows": [
            {"domain": shown(domain), "waiting": number, "text": shown(failure.text)}
            for number, domain, failure in largest
        ],
    }


# -- sites ---------------------------------------------------------------------------------------------------


def _sites(engine: Engine, surveyed: Surveyed) -> dict[str, Any]:
    """One row a site, whatever sources it is mailed from."""
    by_site: dict[str, list[Path]] = {}
    for path in engine.dispatch.paths.values():
        by_site.setdefault(path.site, []).append(path)
    waiting = surveyed.by_site
    names = by_site.keys() | waiting.keys() - {""}

    def weight(name: str) -> tuple[int, int, str]:
        paths = by_site.get(name, ())
        return (
            waiting.get(name, 0) + sum(len(path.ready) + path.in_flight for path in paths),
            sum(path.counts.ended for path in paths),
            name,
        )

    largest = heapq.nlargest(MOST_SITES, names, key=weight)
    rows = [_site(engine, name, by_site.get(name, []), waiting.get(name, 0)) for name in largest]
    return {"total": len(names), "rows": rows}


def _site(engine: Engine, name: str, paths: list[Path], waiting: int) -> dict[str, Any]:
    now = engine.clock()
    rate = sum(path.counts.rate for path in paths)
    paused = max((path.pool.paused_until - now for path in paths), default=0.0)
    under_way = sum(len(path.ready) + path.in_flight for path in paths)
    binds = _binds(engine, name, paths, now)
    open_end = binds == "suspend"
    return {
        "site": shown(name),
        "scope": paths[0].route.site if paths else "" if " " in name else name,
        "provider": paths[0].provider if paths else "",
        "sources": len(paths),
        "waiting": waiting,
        "ready": sum(len(path.ready) for path in paths),
        "in_flight": sum(path.in_flight for path in paths),
        "connections": sum(len(path.pool.connections) for path in paths),
        "window": sum(int(min(path.pool.window.size, path.pool.cap)) for path in paths),
        "rate": round(rate, 1),
        "delivered": sum(path.counts.delivered for path in paths),
        "deferred": sum(path.counts.deferred for path in paths),
        "failed": sum(path.counts.failed for path in paths),
        "binds": binds,
        "paused": max(0, round(paused)),
        "eta": None if open_end else _eta(waiting + under_way, rate, max(0.0, paused)),
        "error": shown(next((path.pool.last_error for path in paths if path.pool.last_error), "")),
    }


def _eta(total: int, rate: float, held: float) -> int | None:
    """Seconds until all of it has been tried once, at the rate of the last moments."""
    if not total:
        return 0
    return round(held + total / rate) if rate >= 0.1 else None


def _binds(engine: Engine, name: str, paths: Iterable[Path], now: float) -> str:
    """The first thing that stops it, as flow/explain.py tells it at length."""
    steering = engine.dispatch.steering
    for path in paths:
        order = steering.order(Scope("", path.provider, path.route.site), of_senders=False)
        if order is not None and order.verb is Verb.SUSPEND:
            return "suspend"
        if path.pool.paused_until > now:
            return "connection" if path.pool.failures else path.bind or "pause"
        if path.bind:
            return path.bind
        if len(path.ready) and len(path.pool.connections) >= min(path.pool.window.size, path.pool.cap):
            return "connection_limit" if path.pool.window.size >= path.limits.connection_limit else "window"
    if not paths and steering.directives:
        order = steering.order(Scope(site=name), of_senders=False)
        return "" if order is None or order.verb is not Verb.SUSPEND else "suspend"
    return ""
