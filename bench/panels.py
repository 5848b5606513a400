"""The panels of the dashboards, as data: titles, what they ask Prometheus, unit. bench/dashboards.py builds them.

Each row's panels share its width. Titles are in Japanese and English, because both read them; a description says what
an operator should see in it.
"""

from __future__ import annotations

from dataclasses import dataclass

WINDOW = "$__rate_interval"
CHOSEN = 'job="sokutatsu",instance=~"$instance"'


@dataclass(frozen=True, slots=True)
class Query:
    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    kind: str
    """stat, lines, stacked or bars."""
    unit: str
    """Grafana's name of it."""
    queries: tuple[Query, ...]
    description: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Board:
    name: str
    title: str
    description: str
    rows: tuple[Row, ...]


def rate(metric: str, by: str = "", **labels: str) -> str:
    """Per second, summed over instances: what two engines do is one rate."""
    return f"sum{_by(by)}(rate({_chosen(metric, labels)}[{WINDOW}]))"


def now(metric: str, by: str = "", **labels: str) -> str:
    return f"sum{_by(by)}({_chosen(metric, labels)})"


def quantile(q: float, metric: str, by: str = "", **labels: str) -> str:
    names = f"le,{by}" if by else "le"
    return f"histogram_quantile({q:g},sum by({names})(rate({_chosen(f'{metric}_bucket', labels)}[{WINDOW}])))"


def share(part: str, whole: str) -> str:
    """Nothing, and not NaN, while nothing happens."""
    return f"{part} / ({whole} > 0)"


def _by(label: str) -> str:
    return f" by({label})" if label else ""


def _chosen(metric: str, labels: dict[str, str]) -> str:
    own = "".join(f',{label.rstrip("_")}=~"{value}"' for label, value in labels.items())
    return f"sokutatsu_{metric}{{{CHOSEN}{own}}}"


def quantiles(title: str, metric: str, description: str = "", **labels: str) -> Panel:
    asked = tuple(Query(quantile(q, metric, **labels), f"p{q * 100:g}") for q in (0.5, 0.95, 0.99))
    return Panel(title, "lines", "s", asked, description)


def lines(title: str, unit: str, *asked: tuple[str, str], kind: str = "lines", description: str = "") -> Panel:
    return Panel(title, kind, unit, tuple(Query(expr, legend) for expr, legend in asked), description)


NOW = Board(
    "now",
    "Sokutatsu: now / 現在の配信",
    "Rate, queue, outcomes, the largest sites, what binds.",
    (
        Row(
            "Now / 現在",
            (
                lines("Delivered / 配信速度", "mps", (rate("outcomes_total", outcome="delivered"), ""), kind="stat"),
                lines("Waiting / 待ち", "short", (now("queue_recipients"), ""), kind="stat"),
                lines(
                    *("Transactional p99 / 取引メール p99", "s"),
                    (quantile(0.99, "first_attempt_seconds", priority="transactional"), ""),
                    kind="stat",
                ),
                lines("Credit / 受付余力", "short", (now("credit_recipients"), ""), kind="stat"),
                lines("Sites at rest / 休止中の受信側", "short", (now("paused_sites"), ""), kind="stat"),
                lines(
                    *("Late opt-outs / 反映遅れの受信拒否", "short"),
                    (now("suppression_optout_late_total"), ""),
                    kind="stat",
                    description="Must be 0.",
                ),
            ),
        ),
        Row(
            "Flow / 流量",
            (
                lines(
                    *("Outcomes / 結果", "mps"),
                    (rate("outcomes_total", "outcome"), "{{outcome}}"),
                    (rate("deferrals_total"), "deferred"),
                    kind="stacked",
                ),
                lines(
                    *("Taken / 受付", "mps"),
                    (rate("recipients_accepted_total"), "accepted"),
                    (rate("recipients_refused_total"), "refused"),
                ),
                lines("Queue / キュー", "short", (now("queue_recipients", "place"), "{{place}}"), kind="stacked"),
            ),
        ),
        Row(
            "Sites / 受信側",
            (
                lines(
                    *("Largest sites / 上位の受信側", "mps"),
                    (f"topk(10,{rate('site_delivered_total', 'site')})", "{{site}}"),
                ),
                lines(
                    *("Waiting there / 受信側ごとの待ち", "short"),
                    (f"topk(10,{now('site_recipients', 'site')})", "{{site}}"),
                    kind="bars",
                ),
                lines(
                    "Connections / 接続", "short", (f"topk(10,{now('connections', 'site')})", "{{site}}"), kind="bars"
                ),
            ),
        ),
        Row(
            "What binds / 律速要因",
            (
                quantiles("First attempt, bulk / 一斉配信の初回送信まで", "first_attempt_seconds", priority="bulk"),
                lines(
                    *("Limits / 制限", "short"),
                    (now("directives", "verb"), "{{verb}}"),
                    (now("paused_sites"), "sites at rest"),
                    (now("domains_to_look_up"), "domains to look up"),
                    (now("domains_unresolved"), "domains unresolved"),
                ),
                lines(
                    *("Back-pressure / 滞留", "short"),
                    (now("settle_backlog"), "outcomes not synced"),
                    (now("signer_backlog"), "signatures owed"),
                ),
                lines("Warm-up left / ウォームアップ残数", "short", (now("warmup_left", "source"), "{{source}}")),
            ),
        ),
    ),
)

QUALITY = Board(
    "quality",
    "Sokutatsu: delivery quality / 配信品質",
    "By provider, by class of reply, by reason of suppression.",
    (
        Row(
            "Providers / プロバイダ",
            (
                lines("Delivered / 配信", "mps", (rate("provider_delivered_total", "provider"), "{{provider}}")),
                lines(
                    *("Put off / 一時拒否率", "percentunit"),
                    (
                        share(
                            rate("provider_deferred_total", "provider"),
                            f"{rate('provider_deferred_total', 'provider')} + "
                            f"{rate('provider_failed_total', 'provider')} + "
                            f"{rate('provider_delivered_total', 'provider')}",
                        ),
                        "{{provider}}",
                    ),
                ),
                lines("Failed / 不達", "mps", (rate("provider_failed_total", "provider"), "{{provider}}")),
            ),
        ),
        Row(
            "Replies / 応答",
            (
                lines("By class / 分類別", "mps", (rate("replies_total", "class"), "{{class}}"), kind="stacked"),
                lines(
                    *("Unknown users / 宛先不明率", "percentunit"),
                    (share(rate("replies_total", class_="unknown_user"), rate("attempts_total")), "unknown users"),
                    description="Receivers throttle from 2 %, block from 4.5 %.",
                ),
                lines(
                    *("Complaints / 苦情率", "percentunit"),
                    (
                        share(
                            f'sum(increase(sokutatsu_returns_total{{{CHOSEN},kind="feedback"}}[1d]))',
                            f'sum(increase(sokutatsu_outcomes_total{{{CHOSEN},outcome="delivered"}}[1d]))',
                        ),
                        "complaints, a day",
                    ),
                    description="Below 0.1 %, never above 0.3 %.",
                ),
            ),
        ),
        Row(
            "Suppression / 抑止",
            (
                lines("By reason / 理由別", "mps", (rate("suppressed_total", "reason"), "{{reason}}"), kind="stacked"),
                quantiles("Opt-out effect / 受信拒否の反映", "suppression_optout_effect_seconds"),
                lines("Opt-outs / 受信拒否", "mps", (rate("optout_requests_total", "result"), "{{result}}")),
            ),
        ),
        Row(
            "Time / 所要時間",
            (
                lines(
                    *("In the queue, p95 / キュー滞在 p95", "s"),
                    (quantile(0.95, "stay_seconds", "outcome"), "{{outcome}}"),
                ),
                lines(
                    *("Phases, p95 / 送信段階 p95", "s"),
                    (quantile(0.95, "delivery_phase_seconds", "phase"), "{{phase}}"),
                ),
                lines(
                    *("Doubt / 不確定", "mps"),
                    (rate("in_doubt_total"), "in doubt"),
                    (rate("resent_in_doubt_total"), "perhaps twice"),
                    (rate("tls_fallbacks_total"), "TLS given up"),
                ),
            ),
        ),
        Row(
            "Back / 返送",
            (
                lines("Returned / 返送", "mps", (rate("returns_total", "kind"), "{{kind}}"), kind="stacked"),
                lines("Returned, by class / 返送の分類", "mps", (rate("returns_by_class_total", "class"), "{{class}}")),
                lines(
                    *("DNS / DNS", "mps"),
                    (rate("dns_queries_total"), "questions"),
                    (rate("dns_failures_total", "status"), "{{status}}"),
                ),
            ),
        ),
    ),
)

ENGINE = Board(
    "engine",
    "Sokutatsu: engine / エンジン",
    "CPU, event loop, commits, signing, memory, disk.",
    (
        Row(
            "Process / プロセス",
            (
                lines(
                    *("CPU of the core / 本体の CPU", "percentunit"),
                    (f"sum by(instance)(rate(process_cpu_seconds_total{{{CHOSEN}}}[{WINDOW}]))", "{{instance}}"),
                ),
                lines(
                    *("CPU per message / 一通あたりの CPU", "s"),
                    (
                        share(
                            f"sum(rate(process_cpu_seconds_total{{{CHOSEN}}}[{WINDOW}]))",
                            rate("outcomes_total", outcome="delivered"),
                        ),
                        "core",
                    ),
                ),
                lines(
                    *("Memory / メモリ", "bytes"),
                    (f"sum by(instance)(process_resident_memory_bytes{{{CHOSEN}}})", "{{instance}}"),
                ),
                lines(
                    *("Open files / ファイル記述子", "percentunit"),
                    (f"max by(instance)(process_open_fds{{{CHOSEN}}} / process_max_fds{{{CHOSEN}}})", "{{instance}}"),
                ),
            ),
        ),
        Row(
            "Loop and disks / ループとディスク",
            (
                quantiles("Event loop lag / イベントループの遅れ", "event_loop_lag_seconds"),
                quantiles("Spool commits / スプールの確定", "spool_commit_seconds"),
                quantiles("Journal syncs / 配信記録の同期", "journal_sync_seconds"),
            ),
        ),
        Row(
            "Signing / 署名",
            (
                lines("Signatures / 署名", "ops", (rate("signatures_total", "backend"), "{{backend}}")),
                lines(
                    *("Batch size / 束の大きさ", "short"),
                    (quantile(0.5, "signer_batch_signatures"), "p50"),
                    (quantile(0.95, "signer_batch_signatures"), "p95"),
                ),
                lines(
                    *("Trouble / 障害", "short"),
                    (now("signer_fallbacks_total"), "fallbacks"),
                    (now("signer_restarts_total"), "restarts"),
                    (now("signer_backlog"), "owed"),
                ),
            ),
        ),
        Row(
            "Disk and state / ディスクと状態",
            (
                lines(
                    "Free / 空き",
                    "percentunit",
                    (f"min by(instance)(sokutatsu_disk_free_ratio{{{CHOSEN}}})", "{{instance}}"),
                ),
                lines(
                    *("Commits / 確定の回数", "ops"),
                    (rate("spool_commits_total"), "spool"),
                    (rate("journal_sync_seconds_count"), "journal"),
                ),
                lines(
                    *("Bytes / 転送量", "Bps"),
                    (rate("sent_bytes_total"), "sent"),
                    (rate("journal_bytes_total"), "journal"),
                ),
                lines(
                    *("In memory / メモリ上", "short"),
                    (now("lanes"), "lanes"),
                    (now("sites"), "sites"),
                    (now("suppression_entries"), "suppression entries"),
                ),
            ),
        ),
    ),
)

BOARDS = (NOW, QUALITY, ENGINE)
