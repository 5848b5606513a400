"""KumoMTA's metric names for what means the same here, so that dashboards and alerts made for it go on working.

`GET /metrics?view=kumomta`. Names, labels and label values are those of KumoMTA's reference (kumod-metrics); what it
counts and we do not, or count otherwise, is left out rather than guessed. Its names follow none of Prometheus' rules (a
gauge that ends in _total, counters that do not), so all but the histograms are exposed as untyped: Prometheus stores
no types, and `promtool check metrics` has nothing to say. New dashboards should use our own names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import HistogramMetricFamily, UnknownMetricFamily
from prometheus_client.registry import Collector

from engine.buckets import Buckets
from engine.metrics import METRICS, Observed, Value, full_name

OUT = "smtp_client"
"""KumoMTA's `service` for what it sends; `esmtp_listener` for what comes by SMTP."""


@dataclass(frozen=True, slots=True)
class Alias:
    name: str
    help: str
    ours: str
    """Name of the metric in METRICS."""
    label: str = ""
    value: str = ""
    """The label's one value; empty with a label: one series for each value of our label."""
    picked: tuple[str, ...] = ()
    """Only these values of our label, summed; none: all of them."""
    factor: float = 1.0
    differs: str = ""
    """How it is not quite the same."""


ALIASES: tuple[Alias, ...] = (
    Alias(
        *("total_messages_received", "Messages received.", "recipients_accepted", "service", "http_listener"),
        differs="One per recipient, by whichever door it came.",
    ),
    Alias("total_messages_delivered", "Messages delivered.", "outcomes", "service", OUT, ("delivered",)),
    Alias("total_messages_delivered_by_provider", "Messages delivered.", "provider_delivered", "provider"),
    Alias("total_messages_fail", "Messages failed for good.", "outcomes", "service", OUT, ("bounced",)),
    Alias(
        *("total_messages_fail_by_provider", "Messages failed for good.", "provider_failed", "provider"),
        differs="Expired and cancelled ones too, if they had been tried.",
    ),
    Alias("total_messages_transfail", "Attempts that failed for now.", "deferrals", "service", OUT),
    Alias("total_messages_transfail_by_provider", "Attempts that failed for now.", "provider_deferred", "provider"),
    Alias(
        *("deliver_message_latency_rollup", "Seconds that a delivery takes.", "delivery_phase_seconds", "service", OUT),
        picked=("transaction",),
        differs="Our buckets, up to ten minutes; with pipelining it includes the wait for the message before.",
    ),
    Alias("connection_count", "Open outgoing connections.", "connections", "service", OUT),
    Alias("connection_count_by_provider", "Open outgoing connections.", "provider_connections", "provider"),
    Alias("total_connection_count", "Outgoing connections opened.", "connections_opened", "service", OUT),
    Alias(
        "total_connections_denied",
        "Incoming connections turned away.",
        "submission_connections_refused",
        *("service", "esmtp_listener"),
    ),
    Alias("smtp_server_rejections", "Mails refused.", "submission_messages_refused", "service", "esmtp_listener"),
    Alias(*("scheduled_count_total", "Messages in scheduled queues.", "queue_recipients"), picked=("waiting", "held")),
    Alias("scheduled_queue_count", "Scheduled queues.", "lanes", differs="A domain has one for each priority."),
    Alias(
        *("ready_count", "Messages in ready queues.", "queue_recipients", "service", OUT),
        picked=("ready", "in_flight"),
    ),
    Alias("message_count", "Messages in any state.", "queue_recipients", differs="One per recipient."),
    Alias(
        *("message_save_latency", "Seconds to save a message to the spool.", "spool_commit_seconds"),
        differs="A commit saves all that came in meanwhile.",
    ),
    Alias("dns_mx_resolve_in_progress", "MX look-ups in progress.", "domains_to_look_up", differs="Waiting ones too."),
    Alias("disk_free_bytes", "Free bytes.", "disk_free_bytes", "name", "spool"),
    Alias("disk_free_percent", "Free percentage of bytes.", "disk_free_ratio", "name", "spool", factor=100.0),
    Alias(
        *("disk_free_inodes_percent", "Free percentage of inodes.", "disk_free_inodes_ratio", "name", "spool"),
        factor=100.0,
    ),
)
MEMORY = "memory_usage"
"""Resident bytes, which nobody here observes: Prometheus' client does."""


class _Scrape(Collector):
    def __init__(self, observed: Observed) -> None:
        self._observed = observed

    def collect(self) -> Iterator[UnknownMetricFamily | HistogramMetricFamily]:
        for alias in ALIASES:
            yield _family(alias, self._observed[alias.ours])
        for family in ProcessCollector(registry=None).collect():
            if family.name == "process_resident_memory_bytes":
                yield UnknownMetricFamily(MEMORY, "Resident bytes.", value=family.samples[0].value)


def _family(alias: Alias, found: Value | Mapping[str, Value]) -> UnknownMetricFamily | HistogramMetricFamily:
    labels = [alias.label] if alias.label else []
    series = found if isinstance(found, Mapping) else {"": found}
    if alias.label and not alias.value:
        family = UnknownMetricFamily(alias.name, alias.help, labels=labels)
        for label, value in series.items():
            family.add_metric([label], float(value) * alias.factor if not isinstance(value, Buckets) else value.total)
        return family
    values = [value for label, value in series.items() if not alias.picked or label in alias.picked]
    shown = [alias.value] if alias.label else []
    if values and isinstance(values[0], Buckets):
        assert len(values) == 1, "histograms are not added up"
        histogram = HistogramMetricFamily(alias.name, alias.help, labels=labels)
        histogram.add_metric(shown, values[0].cumulative(), values[0].total)
        return histogram
    family = UnknownMetricFamily(alias.name, alias.help, labels=labels)
    family.add_metric(shown, alias.factor * sum(value for value in values if not isinstance(value, Buckets)))
    return family


def exposition(observed: Observed) -> bytes:
    """The text format for a scrape. KeyError for what was not observed: our bug."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Scrape(observed))
    return generate_latest(registry)


def document() -> str:
    """docs/metrics-kumomta.md."""
    names = {metric.name: full_name(metric) for metric in METRICS}
    rows = [f"| `{alias.name}` | {_shown(alias)} | `{names[alias.ours]}` | {_how(alias)} |" for alias in ALIASES]
    rows.append(f"| `{MEMORY}` |  | `process_resident_memory_bytes` |  |")
    return "\n".join((_HEAD, *rows, ""))


def _shown(alias: Alias) -> str:
    if not alias.label:
        return ""
    return f'`{alias.label}="{alias.value}"`' if alias.value else f"`{alias.label}`"


def _how(alias: Alias) -> str:
    facts: Sequence[str] = (
        f"Sum of {', '.join(alias.picked)}." if len(alias.picked) > 1 else "".join(f"{one}." for one in alias.picked),
        f"Times {alias.factor:g}." if alias.factor != 1.0 else "",
        alias.differs,
    )
    return " ".join(fact for fact in facts if fact)


_HEAD = """# KumoMTA's metric names

`GET /metrics?view=kumomta` gives what means the same under the names that KumoMTA has for it, so that its dashboards
and alerts go on working while you move. Histograms are histograms, all else is untyped: the names do not follow
Prometheus' rules. Counters never go back here, whatever site or provider falls silent. Everything else is only in the
[view of our own](metrics.md).

Made from `ALIASES` in `engine/kumomta.py`: `python -c "from engine.kumomta import document; print(document(), end='')"`

| KumoMTA's name | label | ours | how |
|---|---|---|---|"""
