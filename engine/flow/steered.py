"""What steering, automation, warm-up and classification look like from outside: for /status and for /metrics.

By provider, whose names are the operator's, so that labels stay bounded; a site that nobody knows counts as "other".
"""

from __future__ import annotations

from typing import Any, Protocol

from engine.flow.dispatch import Dispatch
from engine.flow.explain import shown_directive
from engine.flow.traffic import survey
from engine.policy.directive import Verb

MOST_DIRECTIVES_SHOWN = 50
UNCLASSIFIED_SHOWN = 20


class Steered(Protocol):
    """The engine, as far as it is asked here."""

    @property
    def dispatch(self) -> Dispatch: ...

    def clock(self) -> float: ...


def providers(dispatch: Dispatch) -> dict[str, dict[str, int]]:
    """Attempts that ended since the start, and what is ready or under way, by provider."""
    found = {
        provider: {"delivered": tally.delivered, "deferred": tally.deferred, "failed": tally.failed}
        for provider, tally in dispatch.paths.traffic.providers.items()
    }
    now = survey(dispatch.paths.busy, 0.0)
    for provider, entry in found.items():
        entry["ready"] = now.provider_recipients.get(provider, 0)
        entry["connections"] = now.provider_connections.get(provider, 0)
    return {provider: entry for provider, entry in found.items() if any(entry.values())}


def steered(engine: Steered) -> dict[str, Any]:
    """What /status and the status request say."""
    dispatch, now = engine.dispatch, engine.clock()
    directives = list(reversed(dispatch.steering.directives.values()))
    return {
        "providers": providers(dispatch),
        "directives": [shown_directive(one, now) for one in directives[:MOST_DIRECTIVES_SHOWN]],
        "warmup": dispatch.steering.outlets.status(now),
        "automation": dict(dispatch.braking.fired),
        "unclassified": {
            "total": dispatch.unclassified.total,
            "top": dispatch.unclassified.top(UNCLASSIFIED_SHOWN),
        },
    }


def steering_observed(engine: Steered) -> dict[str, Any]:
    """What /metrics says."""
    dispatch, now = engine.dispatch, engine.clock()
    traffic = dispatch.paths.traffic
    standing = [one.verb for one in dispatch.steering.directives.values()]
    return {
        **{f"provider_{name}": traffic.by_provider(name) for name in ("delivered", "deferred", "failed")},
        "directives": {str(verb): standing.count(verb) for verb in Verb},
        "automation_fired": sum(dispatch.braking.fired.values()),
        "unclassified_replies": dispatch.unclassified.total,
        "warmup_left": {
            entry["source"]: entry["left"]
            for entry in dispatch.steering.outlets.status(now)
            if entry["left"] is not None
        },
    }
