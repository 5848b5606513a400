"""Every Prometheus metric: its name, help, kind and labels, in one list; and how a scrape is written.

The engine counts in plain integers; a scrape turns what `observe` found into families, so that the hot path pays
nothing. No label holds an address or anything else without a bound: sites are the busiest ones and "other".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from engine.buckets import Buckets

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
"""Of the exposition; every Prometheus reads it."""


@dataclass(frozen=True, slots=True)
class Metric:
    name: str
    """Without "sokutatsu_"; counters without "_total"."""
    kind: str
    """counter, gauge or histogram."""
    help: str
    labels: tuple[str, ...] = ()


METRICS: tuple[Metric, ...] = (
    Metric("submits", "counter", "Submits that were accepted and synced to disk, repeats not counted."),
    Metric("submits_refused", "counter", "Submits that were refused as a whole."),
    Metric("submits_repeated", "counter", "Submits that were answered from their stored answer, by key."),
    Metric("recipients_accepted", "counter", "Recipients accepted and synced to disk since the start."),
    Metric("recipients_recovered", "gauge", "Recipients found in the spool at the start."),
    Metric("recipients_refused", "counter", "Recipients refused one by one at accept."),
    Metric("socket_connections", "counter", "Connections that the local socket admitted."),
    Metric("socket_connections_refused", "counter", "Connections that the local socket turned away."),
    Metric("socket_bad_frames", "counter", "Frames on the local socket that made no request."),
    Metric("socket_faults", "counter", "Requests on the local socket that failed by a fault of the engine."),
    Metric("submission_connections", "counter", "Connections that SMTP submission took."),
    Metric("submission_connections_refused", "counter", "Connections that SMTP submission turned away: too many."),
    Metric("submission_faults", "counter", "SMTP commands that failed by a fault of the engine or of its library."),
    Metric("submission_logins_failed", "counter", "Logins with a wrong name or password."),
    Metric("submission_messages", "counter", "Mails that SMTP submission accepted."),
    Metric("submission_messages_refused", "counter", "Mails that SMTP submission refused at their end."),
    Metric("return_path_connections", "counter", "Connections that the return path took."),
    Metric("return_path_connections_refused", "counter", "Connections that the return path turned away: too many."),
    Metric("return_path_faults", "counter", "SMTP commands on the return path that failed by a fault of ours."),
    Metric("return_path_messages", "counter", "Mails that came back, and are on disk."),
    Metric("return_path_recipients_refused", "counter", "Addresses that are not ours, or whose MAC is wrong."),
    Metric("return_path_throttled", "counter", "Mails put off because their client sends too many."),
    Metric("returns", "counter", "What came back, one a recipient, by kind.", ("kind",)),
    Metric("returns_by_class", "counter", "Bounces and delays that came back, by class.", ("class",)),
    Metric("returns_suppressed", "counter", "Events for the suppression ledger that came of it, by kind.", ("kind",)),
    Metric("returns_unproven", "counter", "Bounces and complaints that prove nothing and so suppress nobody."),
    Metric("returns_malformed", "counter", "Events that the ledger would not take, such as for no address."),
    Metric("outcomes", "counter", "Recipients whose stay ended, by outcome.", ("outcome",)),
    Metric("deferrals", "counter", "Attempts that ended in another attempt later."),
    Metric("attempts", "counter", "Transactions started."),
    Metric("queue_recipients", "gauge", "Recipients without an outcome, by the place that holds them.", ("place",)),
    Metric("suppressed", "counter", "Recipients stopped by suppression, by reason code.", ("reason",)),
    Metric("lanes", "gauge", "Lanes (a domain and a priority) that the engine keeps in memory."),
    Metric("late_seconds", "gauge", "How long the lane that is due longest has waited to be looked at."),
    Metric("rechecks", "counter", "Suppression decisions repeated just before MAIL because the epoch had moved."),
    Metric("replies", "counter", "Failed attempts by class of the reply.", ("class",)),
    Metric(
        "first_attempt_seconds", "histogram", "From acceptance (or not-before) to the first attempt.", ("priority",)
    ),
    Metric("stay_seconds", "histogram", "From acceptance (or not-before) to the outcome.", ("outcome",)),
    Metric(
        "delivery_phase_seconds",
        "histogram",
        "Connect; greeting to the end of EHLO, TLS and login; MAIL FROM to the reply that ends the transaction.",
        ("phase",),
    ),
    Metric("in_doubt", "counter", "Attempts whose fate at the receiver is unknown (lost after the final dot)."),
    Metric("recovered_in_doubt", "gauge", "Recipients that the last crash left between sent and synced."),
    Metric("resent_in_doubt", "counter", "Deliveries that may be duplicates of an attempt in doubt."),
    Metric("sent_bytes", "counter", "Bytes of delivered messages."),
    Metric("connections", "gauge", "Open SMTP connections, by site (the busiest, and other).", ("site",)),
    Metric("connections_opened", "counter", "SMTP connections opened."),
    Metric("connections_refused", "counter", "SMTP connections that could not be opened."),
    Metric("tls_fallbacks", "counter", "Opportunistic TLS that failed and was followed by plain text."),
    Metric("site_recipients", "gauge", "Recipients ready or in flight, by site (the busiest, and other).", ("site",)),
    Metric("site_delivered", "counter", "Deliveries, by site (the largest so far, and other).", ("site",)),
    Metric("site_deferred", "counter", "Attempts put off, by site (the largest so far, and other).", ("site",)),
    Metric("site_failed", "counter", "Attempts that ended the stay without delivery, by site.", ("site",)),
    Metric("paused_sites", "gauge", "Sites with mail that rest after refusals."),
    Metric("sites", "gauge", "Sites in memory: those with work, and those that had some lately."),
    Metric("tls_verified", "counter", "Connections whose certificate was what the policy asks.", ("policy",)),
    Metric(
        "tls_encrypted", "counter", "Connections under TLS with a certificate that nobody asked about.", ("policy",)
    ),
    Metric("tls_plain", "counter", "Connections in plain text.", ("policy",)),
    Metric("tls_failed", "counter", "Hosts not used, or not under TLS, because TLS or policy failed.", ("policy",)),
    Metric("mta_sts_policies", "gauge", "MTA-STS policies in memory and on disk."),
    Metric("mta_sts_fetched", "counter", "MTA-STS policies fetched."),
    Metric("mta_sts_fetch_failures", "counter", "MTA-STS policies that could not be fetched or read."),
    Metric("tls_reports", "counter", "TLS reports submitted (RFC 8460)."),
    Metric("tls_reports_failed", "counter", "TLS reports that were refused."),
    Metric("dns_queries", "counter", "Questions sent to DNS servers, repetitions too."),
    Metric("dns_cache_hits", "counter", "Questions answered from the cache."),
    Metric("dns_failures", "counter", "Questions without an answer, by the reason.", ("status",)),
    Metric("dns_strays", "counter", "Datagrams that answered no question of ours: late ones, or forged ones."),
    Metric("dns_under_way", "gauge", "Questions without an answer yet."),
    Metric("dns_seconds", "histogram", "From a question to its answer, repetitions included."),
    Metric("domains_looked_up", "counter", "Look-ups of where a domain takes mail."),
    Metric("domains_to_look_up", "gauge", "Domains that wait for their look-up, or are in it."),
    Metric("domains_unresolved", "gauge", "Domains put off because DNS did not tell where they take mail."),
    Metric("domains_stale", "counter", "Look-ups that failed while an older answer served on."),
    Metric("mx_addresses_refused", "counter", "Private and other addresses in MX records that nobody connects to."),
    Metric("provider_delivered", "counter", "Deliveries, by provider of the shaping.", ("provider",)),
    Metric("provider_deferred", "counter", "Attempts put off, by provider of the shaping.", ("provider",)),
    Metric("provider_failed", "counter", "Attempts that ended without delivery, by provider.", ("provider",)),
    Metric("provider_connections", "gauge", "Open SMTP connections, by provider.", ("provider",)),
    Metric("provider_recipients", "gauge", "Recipients ready or in flight, by provider.", ("provider",)),
    Metric("directives", "gauge", "Orders of operators and automation in force, by verb.", ("verb",)),
    Metric("guard_trips", "counter", "Times that a guard has acted, by guard.", ("guard",)),
    Metric("guard_paused", "gauge", "Mailings and senders that a guard has suspended."),
    Metric("canary_held", "counter", "Times that a never-mailed address waited for its mailing's canary."),
    Metric("preflight_senders", "gauge", "Senders by the level of their last preflight.", ("level",)),
    Metric("preflight_sources_out", "gauge", "Sources that carry nothing of a sender, by its preflight."),
    Metric("automation_fired", "counter", "Times that a rule of automation fired."),
    Metric("unclassified_replies", "counter", "Refusals that no rule knew: `sokutatsu status` shows them."),
    Metric("warmup_left", "gauge", "Messages that a source may still send today, while it warms up.", ("source",)),
    Metric("signatures", "counter", "Signatures made, by backend.", ("backend",)),
    Metric("signer_backlog", "gauge", "Signatures asked for and not yet had."),
    Metric("signer_batch_signatures", "histogram", "Signatures asked for in one batch."),
    Metric("signer_fallbacks", "counter", "Signatures that the multi-buffer library owed or gave wrong; OpenSSL did."),
    Metric("signer_restarts", "counter", "Signer processes that died and were started again."),
    Metric("spool_reserve_whole", "gauge", "1 while the disk space reserved for outcomes is there, else 0."),
    Metric("spool_commits", "counter", "Synced commits of the spool."),
    Metric("spool_commit_seconds", "histogram", "Duration of a commit of the spool, its sync included."),
    Metric("journal_records", "counter", "Journal records written and synced."),
    Metric("journal_bytes", "counter", "Compressed bytes written to the journal."),
    Metric("journal_sync_seconds", "histogram", "Duration of a sync of the journal."),
    Metric("settle_backlog", "gauge", "Outcomes not yet synced."),
    Metric("suppression_epoch", "gauge", "Changes of the suppression index since its beginning."),
    Metric("suppression_entries", "gauge", "Addresses known to the suppression index."),
    Metric(
        "suppression_optout_effect_seconds",
        "histogram",
        "From an opt-out's acknowledgement to the end of the last transaction that it forbids; 0: none was under way.",
    ),
    Metric("suppression_optout_late", "counter", "Transactions begun after an opt-out that forbids them; must stay 0."),
    Metric("optouts_recorded", "counter", "Opt-outs that the web listener recorded."),
    Metric("optouts_repeated", "counter", "Opt-outs on the web that were in force already."),
    Metric("optout_requests", "counter", "Requests to the opt-out listener, by what became of them.", ("result",)),
    Metric("optout_connections_refused", "counter", "Connections that the opt-out listener turned away: too many."),
    Metric("credit_recipients", "gauge", "Recipients that the engine would take now."),
    Metric("disk_free_ratio", "gauge", "Free share of the spool's file system."),
    Metric("disk_free_bytes", "gauge", "Free space of the spool's file system."),
    Metric("disk_free_inodes_ratio", "gauge", "Free share of the inodes of the spool's file system."),
    Metric("event_loop_lag_seconds", "histogram", "How late the event loop ran a timer, ten times a second."),
)

LABEL_VALUES: Mapping[str, str] = {
    "outcome": "delivered, bounced, expired, suppressed, cancelled",
    "place": "waiting, ready, in_flight, held",
    "reason": "reason codes of suppression, such as OPTOUT_ALL",
    "class": "classes of engine/policy/classify.py, such as unknown_user",
    "kind": "bounce, delayed, delivered, feedback, opt_out, auto_reply, unknown",
    "priority": "transactional, bulk",
    "phase": "connect, negotiate, transaction",
    "site": "the busiest sites (20; 100 for counters), and other",
    "result": "looked, one_click, page, confirmed, unknown, limited, unclear, failed",
    "status": "servfail, bogus, refused, timeout, malformed, loop",
    "policy": "dane, mta_sts, mta_sts_testing, limits (enable_tls or the route's tls)",
    "provider": "names of the shaping, and other",
    "verb": "suspend, bounce, reroute",
    "source": "names of [sources]",
    "backend": "cryptography or crypto_mb",
    "guard": "unknown_warn, unknown_pause, unknown_abort, canary, complaint_warn, complaint_pause, optout",
    "level": "ok, note, warn, unknown, refuse",
}
"""Label -> what it may hold, all of it bounded and none of it an address."""

Value = float | Buckets
Observed = Mapping[str, Value | Mapping[str, Value]]
"""Metric name -> its value, or label value -> value for a metric with a label."""


class _Scrape(Collector):
    def __init__(self, observed: Observed) -> None:
        self._observed = observed

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily]:
        for metric in METRICS:
            found = self._observed[metric.name]
            values = found if isinstance(found, Mapping) else {None: found}
            family = _family(metric)
            for label, value in values.items():
                labels = [] if label is None else [label]
                if isinstance(value, Buckets):
                    family.add_metric(labels, value.cumulative(), value.total)
                else:
                    family.add_metric(labels, value)
            yield family


def _family(metric: Metric) -> Any:
    kinds = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}
    return kinds[metric.kind](f"sokutatsu_{metric.name}", metric.help, labels=metric.labels)


def exposition(observed: Observed) -> bytes:
    """The text format for a scrape; every metric of METRICS must have been observed (KeyError otherwise: our bug)."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Scrape(observed))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return generate_latest(registry)


def document() -> str:
    """docs/metrics.md."""
    rows = [
        f"| `{full_name(metric)}` | {metric.kind} | {unit(metric)} | {_code(metric.labels)} | {metric.help} |"
        for metric in METRICS
    ]
    labels = [f"| `{label}` | {values} |" for label, values in LABEL_VALUES.items()]
    return "\n".join((_HEAD, *rows, _LABELS, *labels, ""))


def _code(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def unit(metric: Metric) -> str:
    """By its name, as Prometheus wants it; for a number, of what."""
    last = metric.name.rpartition("_")[2]
    return {"seconds": "seconds", "bytes": "bytes", "ratio": "0 to 1", "whole": "0 or 1"}.get(last, "number")


def full_name(metric: Metric) -> str:
    return f"sokutatsu_{metric.name}" + ("_total" if metric.kind == "counter" else "")


_HEAD = """# Metrics

`GET /metrics` on the admin listener (`admin.listen`), in Prometheus' text format. Counters begin at zero with the
process and never go back while it lives: a site that has a label of its own keeps it. Besides these there are
`process_*` and `python_*` of the Prometheus client. `GET /metrics?view=kumomta` has
[KumoMTA's names](metrics-kumomta.md) for what means the same.

Made from `METRICS` in `engine/metrics.py`: `python -c "from engine.metrics import document; print(document(), end='')"`

| name | kind | unit | labels | what |
|---|---|---|---|---|"""
_LABELS = """
| label | values |
|---|---|"""
