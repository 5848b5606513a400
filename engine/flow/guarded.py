"""What the guards look like from outside: for /status, `sokutatsu guard` and /metrics.

By mailing and provider, the worst first; names of mailings stay out of metrics, where labels must be bounded.
"""

from __future__ import annotations

from typing import Any

from engine.flow.fitness import Fitness
from engine.flow.guarding import GUARD, Guarding
from engine.flow.watches import Watch
from engine.policy.guard import Passing, Verdict
from engine.policy.readiness import Level

SHOWN = 50
TRIPS = (
    "unknown_warn", "unknown_pause", "unknown_abort", "canary", "complaint_warn", "complaint_pause", "optout",
)  # fmt: skip


def guarded(guarding: Guarding, fitness: Fitness) -> dict[str, Any]:
    watches = sorted(
        guarding.known.watches.values(), key=lambda watch: (-watch.tally.verdict, -watch.tally.share, -watch.touched)
    )
    dailies = sorted(guarding.known.dailies.items(), key=lambda entry: -entry[1].complaints)
    return {
        "guard": {
            "watched": [_watch(watch) for watch in watches[:SHOWN]],
            "paused": [
                {"number": one.number, "sender": one.scope.sender, "mailing": one.scope.mailing,
                 "provider": one.scope.provider, "at": one.at, "reason": one.reason}
                for one in guarding.standing()
            ][:SHOWN],
            "complaints": [
                {"sender": sender, "provider": place, "delivered": one.base, "complaints": one.complaints,
                 "verdict": Verdict(one.verdict).name.lower()}
                for (sender, place), one in dailies[:SHOWN] if one.complaints
            ],
            "trips": dict(guarding.trips),
            "canary_held": guarding.screen.held,
        },
        "preflight": {
            name: {"level": str(one.level), "at": one.at, "passed": one.passed, "findings": one.codes,
                   "sources_out": one.out}
            for name, one in list(fitness.standings.items())[:SHOWN]
        },
    }  # fmt: skip


def _watch(watch: Watch) -> dict[str, Any]:
    canary = watch.canary
    return {
        "sender": watch.sender,
        "mailing": watch.mailing,
        "provider": watch.place,
        "replies": round(watch.tally.replies),
        "unknown": round(watch.tally.unknown),
        "share": round(watch.tally.share, 5),
        "verdict": Verdict(watch.tally.verdict).name.lower(),
        "canary": None
        if canary is None
        else {
            "state": Passing(canary.passing).name.lower(),
            "replies": canary.replies,
            "unknown": canary.unknown,
            "out": len(canary.out),
        },
    }


def guards_observed(guarding: Guarding, fitness: Fitness) -> dict[str, Any]:
    levels = [one.level for one in fitness.standings.values()]
    return {
        "guard_trips": {name: guarding.trips[name] for name in TRIPS},
        "guard_paused": sum(one.by == GUARD for one in guarding.standing()),
        "canary_held": guarding.screen.held,
        "preflight_senders": {str(level): levels.count(level) for level in Level},
        "preflight_sources_out": len({name for one in fitness.standings.values() for name in one.out}),
    }
