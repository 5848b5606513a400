"""The report's page: one self-contained HTML file with the conditions on top, the pictures inside it, and tables.

Japanese and English stand side by side; nothing is loaded from anywhere. What was not measured is named with its
reason, and a machine that was not quiet is said before any figure.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Parts = Mapping[str, Mapping[str, Any]]

_STYLE = """
body{font:15px/1.65 "Noto Sans CJK JP","Hiragino Sans","Yu Gothic",system-ui,sans-serif;color:#1d2430;
background:#f6f7f9;margin:0}main{max-width:1060px;margin:0 auto;padding:32px 20px 64px}h1{font-size:26px;margin:0 0 4px}
h2{font-size:19px;margin:44px 0 8px;border-bottom:2px solid #d9dee5;padding-bottom:4px}p{margin:6px 0;max-width:860px}
.en{color:#566072}.box{background:#fff;border:1px solid #d9dee5;border-radius:8px;padding:14px 18px;margin:14px 0}
.warn{background:#fff6e0;border-color:#e6c668}figure{margin:18px 0;background:#fff;border:1px solid #d9dee5;
border-radius:8px;padding:10px 12px}figure img{width:100%;height:auto;display:block}
figcaption{font-size:13.5px;padding:6px 4px 2px}.wide{overflow-x:auto}
table{border-collapse:collapse;background:#fff;font-size:13px;width:100%}th,td{padding:6px 7px;text-align:right;
border-bottom:1px solid #e6e9ee}
td:first-child{white-space:nowrap}th{background:#eef1f5;font-weight:600;vertical-align:bottom;word-break:keep-all}
th:first-child,td:first-child,td.t,th.t{text-align:left}td.t{white-space:normal}tr.ours td{background:#fdf0ee;
font-weight:600}
dl{display:grid;grid-template-columns:max-content 1fr;gap:3px 18px;margin:0;font-size:14px}
dt{color:#566072}dd{margin:0}
@media(max-width:640px){dl{grid-template-columns:1fr}dd{margin-bottom:6px}}
"""

_CAPTIONS = {
    "rate": (
        "受信側で数えた、最初の投入から最後の到着までの毎秒通数。* はキューがなく、障害時に未送信分を失います。",
        "Messages at the sink from first hand-over to last arrival. * has no queue: a crash loses what is unsent.",
    ),
    "cpu": (
        "署名、フィルター、短命な子プロセスを含む全プロセスのCPU時間。",
        "All processes of each system: signing, filters and short-lived children included.",
    ),
    "first_attempt": (
        "ほかに待つメールがないときに1通ずつ投入した場合の中央値。",
        "Median of single mails handed over while nothing else waits.",
    ),
    "memory": (
        "負荷中の最大値。他社製は共有分を按分した値(PSS)、速達は常駐量(RSS、共有分を二重計上)。",
        "Most seen under load: PSS of the others; RSS of Sokutatsu, which counts shared pages twice.",
    ),
    "growth_queue": (
        "翌日まで待つ宛先を積み上げた状態で、同じ1万通を配信。平らなほどよい。",
        "The same 10,000 messages beside ever more recipients that wait for tomorrow. Flat is good.",
    ),
    "growth_domains": (
        "1つの中継先の背後に宛先ドメインを増やした場合。10万ドメインでは1ドメイン1通。",
        "Ever more recipient domains behind one relay. At 100,000 domains each gets one message.",
    ),
    "scenarios": (
        "シナリオごとの全体の速度。サイズは回線上の平均。",
        "The whole pipeline, scenario by scenario; sizes are averages on the wire.",
    ),
}

_PEER_COLUMNS = (
    ("", "", "title"),
    ("通/秒", "messages/s", "rate"),
    ("CPU µs/通", "CPU µs per message", "cpu_us"),
    ("メモリ MB", "memory MB", "memory_mb"),
    ("到着 p50 ms", "arrival p50 ms", "first_attempt_p50_ms"),
    ("到着 p99 ms", "arrival p99 ms", "first_attempt_p99_ms"),
    ("通数", "messages", "messages"),
    ("紛失", "lost", "lost"),
    ("重複", "duplicates", "duplicates"),
    ("署名検証", "signatures verified", "dkim_verified"),
    ("250の意味", "what 250 means", "durable"),
)
_SCENARIO_COLUMNS = (
    ("", "", "scenario"),
    ("通/秒", "messages/s", "rate"),
    ("コア µs", "core µs", "core_us"),
    ("署名 µs", "signer µs", "signer_us"),
    ("メモリ MB", "memory MB", "core_resident_mb"),
    ("紛失", "lost", "lost"),
    ("禁止", "forbidden", "forbidden"),
    ("重複", "duplicates", "duplicates"),
)


def page(parts: Parts, pictures: Mapping[str, bytes]) -> str:
    """`pictures`: PNG bytes by name."""
    results = {name: part["result"] for name, part in parts.items() if "result" in part}
    body = [
        "<h1>速達 Sokutatsu — ベンチマーク / Bench report</h1>",
        *_conditions(parts, results),
        *_section("他システムとの比較", "Beside other systems", _peers(results), pictures, _PEER_PICTURES),
        *_section("規模による変化", "As things grow", (), pictures, ("growth_queue", "growth_domains")),
        *_section("シナリオ", "Scenarios", _scenarios(results), pictures, ("scenarios",)),
        *_method(),
    ]
    style = f"<style>{_STYLE}</style>"
    head = f'<!DOCTYPE html><html lang="ja"><head><meta charset="utf-8"><title>Sokutatsu bench report</title>{style}'
    view = '<meta name="viewport" content="width=device-width,initial-scale=1"></head>'
    return f"{head}{view}<body><main>\n" + "\n".join(body) + "\n</main></body></html>\n"


_PEER_PICTURES = ("rate", "cpu", "first_attempt", "memory")


def pictures_in(folder: Path, names: Mapping[str, str]) -> dict[str, bytes]:
    return {name: (folder / file).read_bytes() for name, file in names.items()}


def _conditions(parts: Parts, results: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
    floor, steady = results.get("floor", {}), results.get("scenario-steady", {})
    machine = {**floor.get("conditions", {}), **steady.get("conditions", {})}
    times = sorted(str(part["at"]) for part in parts.values())
    commits = sorted({str(part["commit"])[:12] for part in parts.values()})
    facts = [
        ("測定日時 / measured", f"{times[0]} – {times[-1]}" if times else "–"),
        ("コミット / commit", ", ".join(commits)),
        (
            "CPU",
            f"{machine.get('cpu', '–')}, {machine.get('cores', '–')} cores, AVX-512 IFMA: {machine.get('avx512_ifma')}",
        ),
        ("Python", machine.get("python", "–")),
        ("署名 / signed with", "RSA-2048, relaxed/relaxed, rsa-sha256"),
        (
            "同期 / fsync",
            "各システムの既定(速達: 応答前に synchronous=FULL) / each system's default; ours before every answer",
        ),
        (
            "宛先 / receiver",
            "同じ計算機の受信シンク1台、ループバック、遅延0 ms(far sites のみ100 ms) / one sink, loopback, RTT 0 ms",
        ),
        ("TLS", "なし(tls のみ有り) / none, except in scenario tls"),
        ("抑止リスト / suppression", f"{steady.get('conditions', {}).get('suppression_entries', 0):,} (steady)"),
    ]
    if floor:
        facts.append(("上限 / floor", f"{floor['floor']:,.0f} messages/s; RSA {floor['cryptography_us']:,.0f} µs"))
    yield '<div class="box"><dl>'
    yield from (f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in facts)
    yield "</dl></div>"
    yield from _warnings(parts, results)


def _warnings(parts: Parts, results: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
    failed = {name: str(part["error"]) for name, part in parts.items() if "error" in part}
    for name, reason in failed.items():
        yield f'<div class="box warn">{_text(name)}: 測定できず / not measured: {_text(reason[:300])}</div>'
    busy = [name for name, told in results.items() if "warning" in told]
    if busy:
        yield (
            '<div class="box warn">測定中、この計算機ではほかのプログラムも動いていました。数値は引用しないでください。'
            '<br><span class="en">The machine was not quiet: other programs ran meanwhile. Do not quote these figures. '
            f"({_text(', '.join(busy))})</span></div>"
        )


def _section(
    japanese: str, english: str, content: Iterable[str], pictures: Mapping[str, bytes], names: Sequence[str]
) -> Iterable[str]:
    yield f'<h2>{japanese} <span class="en">{english}</span></h2>'
    yield from content
    for name in names:
        if name in pictures:
            shown, told = _CAPTIONS[name]
            data = base64.b64encode(pictures[name]).decode()
            yield f'<figure><img alt="{_text(told)}" src="data:image/png;base64,{data}">'
            yield f'<figcaption>{_text(shown)}<br><span class="en">{_text(told)}</span></figcaption></figure>'


def _peers(results: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
    told = [result for name, result in results.items() if name.startswith("peer-")]
    told.sort(key=lambda result: -float(result["rate"]))
    yield from _table(_PEER_COLUMNS, told)
    versions = [f"{name} {version}" for result in told for name, version in result.get("versions", {}).items()]
    yield f'<p class="en">{_text(", ".join(dict.fromkeys(versions)))}</p>'


def _scenarios(results: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
    told = [result for name, result in results.items() if name.startswith("scenario-")]
    yield from _table(_SCENARIO_COLUMNS, told)
    yield "<ul>"
    for result in told:
        more = {name: result[name] for name in _NOTED if result.get(name) is not None}
        facts = "; ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in more.items())
        conditions = result["conditions"]
        under = (
            f"{conditions['recipients']:,} recipients, {conditions['wire_bytes']:,} bytes, "
            f"{conditions['suppression_entries']:,} known to suppression, RTT {conditions['latency_ms']:g} ms, "
            f"TLS {'yes' if conditions['tls'] else 'no'}, {conditions['sites']} sites"
        )
        text = f"{result['description']} ({under}){'. ' + facts if facts else ''}"
        yield f"<li><b>{_text(result['scenario'])}</b>: {_text(text)}</li>"
    yield "</ul>"


_NOTED = (
    "transactional_p50_ms", "transactional_p99_ms", "opt_outs_per_second", "opt_out_p50_ms", "opt_out_p99_ms",
    "arrived_after_their_opt_out", "latest_after_ms", "rounds", "core_growth_mb", "disk_bytes", "journal_bytes",
)  # fmt: skip


def _table(columns: Sequence[tuple[str, str, str]], rows: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    yield '<div class="wide"><table><tr>'
    yield "".join(f"<th>{shown}<br><span class='en'>{told}</span></th>" for shown, told, _ in columns) + "</tr>"
    for row in rows:
        ours = ' class="ours"' if row.get("peer") == "sokutatsu" else ""
        yield f"<tr{ours}>" + "".join(f"<td>{_text(_shown(row.get(name)))}</td>" for _, _, name in columns) + "</tr>"
    yield "</table></div>"


def _shown(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _method() -> Iterable[str]:
    yield '<h2>測定方法と限界 <span class="en">Method and limits</span></h2>'
    yield (
        "<p>全システムを同じ計算機・同じシンク・同じ大きさのメールで順に測定しました。"
        "送信側とシンクも同じコアで動きます。1回ずつの測定のため、差が1〜2割なら順位は入れ替わり得ます。"
        "各システムの設定は bench/peers/conf にあります。</p>"
    )
    yield (
        '<p class="en">All systems run one after the other on one machine, to one sink, with mail of one size; '
        "sender and sink share its cores. Each was measured once: where two differ by a tenth or two, their order "
        "may change. The others get mail over SMTP, ours over its socket as one template with merge fields, and only "
        "ours asks for consent and opt-outs. Their configurations are in bench/peers/conf. Real networks, receivers' "
        "limits and power cuts are not measured.</p>"
    )


def _text(value: object) -> str:
    return html.escape(str(value))
