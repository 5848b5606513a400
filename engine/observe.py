"""Snapshots for people and for Prometheus: what the parts count, under the names that METRICS declares.

Walks sites and lanes, never recipients. The conservation law of /status is made here from independent counts, so
that a lost recipient shows.
"""

from __future__ import annotations

import os
from typing import Any

from engine.engine import Engine
from engine.flow import feedback, returnpath, submission
from engine.flow.guarded import guarded, guards_observed
from engine.flow.opening import OUTCOMES
from engine.flow.steered import steered, steering_observed
from engine.flow.tlsreports import ReportCounts
from engine.flow.traffic import BUSIEST, busiest
from engine.mail.envelope import Priority
from engine.net.trust import PolicyKind
from engine.policy.classify import Class
from engine.web.listener import WebCounts


def places(engine: Engine, ready: int | None = None) -> dict[str, int]:
    """Recipients without an outcome, by the place that holds them: each is in exactly one. `ready`: if counted."""
    if ready is None:
        ready = sum(len(path.ready) for path in engine.dispatch.paths.values())
    held = engine.promote.held()
    return {
        "waiting": engine.timeline.total() - held,
        "ready": ready,
        # What is in memory and not in ready is being written, on the wire, or on its way to disk.
        "in_flight": len(engine.roster) - ready,
        "held": held,
    }


def status(engine: Engine) -> dict[str, Any]:
    counts = engine.counts
    held_by = places(engine)
    outcomes = {str(outcome): number for outcome, number in counts.outcomes.items()}
    taken = counts.recovered + engine.accept.counts.recipients
    return {
        "node": engine.node,
        "uptime_seconds": round(engine.clock() - engine.started_at, 1),
        "accepted": taken,
        "recovered": counts.recovered,
        **outcomes,
        **held_by,
        "balance": taken - sum(outcomes.values()) - sum(held_by.values()),
        "deferrals": counts.deferrals,
        "attempts": counts.attempts,
        "in_doubt": counts.in_doubt,
        "recovered_in_doubt": counts.recovered_in_doubt,
        "resent_in_doubt": counts.resent_in_doubt,
        "unsynced": engine.settle.backlog,
        "suppressed_by_reason": dict(counts.suppressed_by_reason),
        "replies_by_class": dict(counts.replies_by_class),
        "credit": engine.credit(),
        "first_attempt_p99_seconds": {
            priority.name.lower(): _finite(counts.first_attempt[priority].quantile(0.99)) for priority in Priority
        },
        "sites": _sites(engine),
        "unresolved": _unresolved(engine),
        **steered(engine),
        **guarded(engine.guards.guarding, engine.guards.fitness),
    }


def _finite(value: float) -> float | None:
    return None if value == float("inf") else value


def _unresolved(engine: Engine) -> list[dict[str, Any]]:
    """Domains that DNS does not tell about, those with the most mail first."""
    waiting = [
        (engine.timeline.waiting(lane), lane.domain, failure) for lane, failure in engine.promote.unresolved().items()
    ]
    waiting.sort(key=lambda entry: (-entry[0], entry[1]))
    return [
        {"domain": domain, "waiting": number, "failures": failure.in_a_row, "error": failure.text}
        for number, domain, failure in waiting[:BUSIEST]
    ]


def _sites(engine: Engine) -> list[dict[str, Any]]:
    now = engine.clock()
    paths = sorted(engine.dispatch.paths.values(), key=lambda path: -(len(path.ready) + path.in_flight))
    return [
        {
            "site": path.site,
            "source": path.source.name,
            "provider": path.provider,
            "ready": len(path.ready),
            "in_flight": path.in_flight,
            "connections": len(path.pool.connections),
            "window": path.pool.window.size,
            "paused_seconds": max(0.0, round(path.pool.paused_until - now, 1)),
            "binds": path.bind,
            "last_error": path.pool.last_error,
            "delivered": path.counts.delivered,
            "deferred": path.counts.deferred,
            "failed": path.counts.failed,
            "rate": round(path.counts.rate, 1),
        }
        for path in paths[:BUSIEST]
    ]


def observe(engine: Engine) -> dict[str, Any]:
    counts = engine.counts
    accepting, door = engine.accept.counts, engine.door.counts
    return {
        "submits": accepting.submits,
        "submits_refused": accepting.submits_refused,
        "submits_repeated": accepting.repeats,
        "socket_connections": door.connections,
        "socket_connections_refused": door.connections_refused,
        "socket_bad_frames": door.bad_frames,
        "socket_faults": door.faults,
        "recipients_accepted": accepting.recipients,
        "recipients_recovered": counts.recovered,
        "recipients_refused": accepting.recipients_refused,
        "outcomes": {str(outcome): number for outcome, number in counts.outcomes.items()},
        "deferrals": counts.deferrals,
        "attempts": counts.attempts,
        "suppressed": dict(counts.suppressed_by_reason),
        "rechecks": counts.rechecked,
        "replies": {**dict.fromkeys(map(str, Class), 0), **counts.replies_by_class},
        "stay_seconds": {
            **{str(outcome): buckets for outcome, buckets in counts.stay.items()},
            "delivered": counts.stay_delivered,
        },
        "delivery_phase_seconds": {
            "connect": engine.network.opening.durations.connect,
            "negotiate": engine.network.opening.durations.negotiate,
            "transaction": counts.transaction,
        },
        "first_attempt_seconds": {priority.name.lower(): counts.first_attempt[priority] for priority in Priority},
        "in_doubt": counts.in_doubt,
        "recovered_in_doubt": counts.recovered_in_doubt,
        "resent_in_doubt": counts.resent_in_doubt,
        "sent_bytes": counts.bytes_sent,
        "tls_fallbacks": engine.network.opening.tls_fallbacks,
        **_traffic(engine),
        **steering_observed(engine),
        **guards_observed(engine.guards.guarding, engine.guards.fitness),
        **_submission(engine),
        **_optouts(engine),
        **_resolving(engine),
        **_trust(engine),
        **_way_back(engine),
        **_resources(engine),
    }


def _traffic(engine: Engine) -> dict[str, Any]:
    """Only what is ready is counted now, so that the places fit together: a scrape holds up the loop that sends."""
    now, paths = engine.clock(), engine.dispatch.paths
    busy, found = paths.busy, paths.traffic.seen
    ready = sum(len(path.ready.queues[0]) + len(path.ready.queues[1]) for path in busy)
    return {
        "queue_recipients": places(engine, ready),
        "lanes": len(engine.timeline),
        "late_seconds": max(0.0, now - (engine.timeline.next_due() or now)),
        "connections": busiest(found.connections),
        "connections_opened": engine.counts.connections_opened,
        "connections_refused": engine.counts.connections_refused,
        "site_recipients": busiest(found.recipients),
        **{f"site_{name}": paths.traffic.by_site(name) for name in ("delivered", "deferred", "failed")},
        "provider_connections": found.provider_connections,
        "provider_recipients": found.provider_recipients,
        "paused_sites": found.paused,
    }


def _submission(engine: Engine) -> dict[str, int]:
    counts = engine.submission.counts if engine.submission else submission.Counts()
    return {f"submission_{name}": getattr(counts, name) for name in submission.Counts.__slots__}


def _optouts(engine: Engine) -> dict[str, Any]:
    effect, web = engine.dispatch.effect, engine.web
    return {
        "suppression_optout_effect_seconds": effect.seconds,
        "suppression_optout_late": effect.late,
        "optouts_recorded": web.opt_outs.recorded if web else 0,
        "optouts_repeated": web.opt_outs.repeated if web else 0,
        "optout_requests": dict(web.counts.results if web else WebCounts().results),
        "optout_connections_refused": web.turned_away if web else 0,
    }


def _resolving(engine: Engine) -> dict[str, Any]:
    dns, mx, lookups = engine.network.dns.counts, engine.network.mx, engine.dispatch.lookups
    return {
        "dns_queries": dns.queries,
        "dns_cache_hits": dns.cache_hits,
        "dns_failures": dict(dns.failures),
        "dns_strays": engine.network.dns.strays,
        "dns_under_way": dns.under_way,
        "dns_seconds": dns.seconds,
        "domains_looked_up": lookups.done,
        "domains_to_look_up": lookups.waiting + lookups.under_way,
        "domains_unresolved": len(engine.promote.unresolved()),
        "domains_stale": mx.counts.stale if mx else 0,
        "mx_addresses_refused": mx.counts.refused_addresses if mx else 0,
        "sites": len(engine.dispatch.paths),
    }


def _trust(engine: Engine) -> dict[str, Any]:
    tried, sts = engine.network.opening.outcomes, engine.network.sts
    reports = engine.tls_reports.counts if engine.tls_reports else ReportCounts()
    posts = engine.tls_reports.posts if engine.tls_reports else None
    return {
        "tls_reports": reports.reports,
        "tls_reports_failed": reports.failed + (posts.failed if posts else 0),
        **{f"tls_{outcome}": {str(kind): tried[f"{kind} {outcome}"] for kind in PolicyKind} for outcome in OUTCOMES},
        "mta_sts_policies": sts.known if sts else 0,
        "mta_sts_fetched": sts.counts.fetched if sts else 0,
        "mta_sts_fetch_failures": sts.counts.failed if sts else 0,
    }


def _way_back(engine: Engine) -> dict[str, Any]:
    listener = engine.way_back.listener.counts if engine.way_back else returnpath.Counts()
    returns = engine.way_back.returns.counts if engine.way_back else feedback.Counts()
    return {
        **{f"return_path_{name}": getattr(listener, name) for name in returnpath.Counts.__slots__},
        "returns": dict(returns.kinds),
        "returns_by_class": dict(returns.classes),
        "returns_suppressed": dict(returns.suppressed),
        "returns_unproven": returns.unproven,
        "returns_malformed": returns.malformed,
    }


def _resources(engine: Engine) -> dict[str, Any]:
    return {
        "signatures": {engine.signer.backend: engine.signer.counts.signatures},
        "signer_backlog": engine.signer.backlog,
        "signer_batch_signatures": engine.signer.counts.batch_sizes,
        "signer_fallbacks": engine.signer.counts.fallbacks,
        "signer_restarts": engine.signer.counts.restarts,
        "spool_reserve_whole": int(engine.spool.reserve_whole),
        "spool_commits": engine.spool.commits,
        "spool_commit_seconds": engine.spool.commit_seconds,
        "journal_records": engine.journal.records,
        "journal_bytes": engine.journal.bytes_written,
        "journal_sync_seconds": engine.journal.sync_seconds,
        "settle_backlog": engine.settle.backlog,
        "suppression_epoch": engine.suppression.epoch,
        "suppression_entries": engine.suppression.entries,
        "credit_recipients": engine.credit(),
        **_disk(engine.settings.spool.folder),
    }


def _disk(folder: os.PathLike[str]) -> dict[str, float]:
    found = os.statvfs(folder)
    return {
        "disk_free_ratio": found.f_bavail / found.f_blocks if found.f_blocks else 0.0,
        "disk_free_bytes": found.f_bavail * found.f_frsize,
        # Some file systems have no such number: nothing to run out of.
        "disk_free_inodes_ratio": found.f_favail / found.f_files if found.f_files else 1.0,
    }
