"""The file of one address as a page: for the compliance officer, the lawyer, the inspector (特定電子メール法 28条).

Japanese with English beside it, one HTML file that needs nothing from outside, made to be printed on A4. Every value
is escaped: what stands in a record was written by strangers. Nothing is left out but long form texts, whose cut is
said; the JSON file beside it has everything, and the page names its SHA-256.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from html import escape
from typing import Any, Final

from suppression.evidence import Dossier
from suppression.evidence_words import CATEGORIES, FIELDS, KINDS, SENDS, VALUES, VERDICTS
from suppression.view import Told

MOST_CONTENT: Final = 20_000
"""Characters of a form's text on the page."""
_JST: Final = timezone(timedelta(hours=9))
_TIMES: Final = frozenset(
    {"at", "recorded_at", "asked_at", "doi_sent_at", "doi_clicked_at", "confirm_sent_at", "confirmed_at"}
    | {"shown_from", "shown_to"}
)
_NOT_SHOWN: Final = frozenset({"at_jst"})
_CODE: Final = frozenset({"form", "user_agent", "doi_user_agent", "message_id"})
STYLE: Final = """
@page{size:A4;margin:18mm 15mm}
*{box-sizing:border-box}
body{font:10.5pt/1.65 "Hiragino Sans","Noto Sans CJK JP","Noto Sans JP","Yu Gothic","Meiryo",sans-serif;color:#111;
background:#fff;max-width:190mm;margin:8mm auto;padding:0 6mm}
h1{font-size:17pt;margin:0 0 1mm;line-height:1.35}
h2{font-size:12.5pt;margin:9mm 0 2mm;padding:0 0 1mm;border-bottom:1.5pt solid #111;break-after:avoid}
h3{font-size:10.5pt;margin:5mm 0 1mm;break-after:avoid}
.en{color:#555;font-size:.84em;font-weight:400}
h1 .en,h2 .en{display:block;line-height:1.4}
h1 .en{font-size:11pt;margin-bottom:4mm}
h2 .en{font-size:9pt}
p{margin:1.5mm 0}
table{border-collapse:collapse;width:100%;margin:1mm 0 3mm}
th,td{border:.5pt solid #999;padding:1mm 2mm;text-align:left;vertical-align:top;overflow-wrap:anywhere}
th{background:#f1f1f1;font-weight:600}
table.of th{width:34%}
table.of th .en{display:block;line-height:1.35}
table.list{font-size:9pt}
table.list tr,table.of tr,.card{break-inside:avoid}
thead{display:table-header-group}
.utc{color:#555;font-size:.84em;white-space:nowrap}
.nb{white-space:nowrap}
.none{color:#555}
.code{font-family:"Noto Sans Mono CJK JP",ui-monospace,Consolas,monospace;font-size:.88em}
pre{font:8.5pt/1.5 "Noto Sans Mono CJK JP",ui-monospace,Consolas,monospace;white-space:pre-wrap;overflow-wrap:anywhere;
border:.5pt solid #999;padding:2mm;margin:1mm 0 3mm}
.SEND{font-weight:600}.BLOCK,.HOLD{font-weight:600;color:#8a1010}.STRIP{font-weight:600;color:#7a4a00}
footer{margin-top:10mm;border-top:.5pt solid #999;padding-top:2mm;font-size:8.5pt;color:#444}
@media print{body{max-width:none;margin:0;padding:0}}
"""


def page(dossier: Dossier, json_sha256: str) -> str:
    """The whole file."""
    parts = [*_head(dossier, json_sha256), *_summary(dossier), *_consents(dossier), *_forms(dossier)]
    parts += [*_signups(dossier), *_refusals(dossier), *_mailbox(dossier), *_sends(dossier), *_notes()]
    style = f"<style>{STYLE}</style>"
    title = f"<title>{_e(dossier.address)} 同意・受信拒否・送信の記録</title>"
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    policy = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    body = "\n".join(parts)
    head = f'<!doctype html>\n<html lang="ja">\n<head>{meta}{policy}{title}{style}</head>'
    return f"{head}\n<body>\n{body}\n</body>\n</html>\n"


def _head(dossier: Dossier, json_sha256: str) -> Iterator[str]:
    yield f"<h1>同意・受信拒否・送信の記録{_en('Record of consents, refusals and sending')}</h1>"
    told = (*dossier.consents, *dossier.refusals, *dossier.signups)
    names = [dossier.sender] if dossier.sender else sorted({one["sender"] for one in told} - {""})
    who = "<br>".join(
        [*([] if dossier.sender else [f"すべて {_en('all')}"]), *(_sender(dossier, one) for one in names)]
    )
    rows = [
        (_label("対象アドレス", "Address"), f"<strong>{_e(dossier.address)}</strong>"),
        (_label("送信者", "Sender"), who),
        (_label("作成日時", "Made at"), _time(dossier.made_at)),
        (
            _label("対応する JSON ファイルの SHA-256", "SHA-256 of the JSON file"),
            f'<span class="code">{_e(json_sha256)}</span>',
        ),
    ]
    yield _of(rows)


def _summary(dossier: Dossier) -> Iterator[str]:
    yield _h2("1. 概要", "Summary")
    counts = (
        ("同意等の記録", "Consents and other bases", len(dossier.consents)),
        ("受信拒否・苦情の記録", "Refusals and complaints", len(dossier.refusals)),
        ("登録申込み（ダブルオプトイン）", "Sign-ups (double opt-in)", len(dossier.signups)),
        ("送信・判断の記録", "Sends and decisions", len(dossier.sends)),
    )
    yield _of([(_label(ja, en), f"{count:,} 件" + (" 以上" if en[:5] == "Sends" and dossier.sends_cut else ""))
               for ja, en, count in counts])  # fmt: skip
    yield from _timeline(dossier)
    yield f"<h3>現在の取扱い {_en('How mail is treated now, by the ledger alone')}</h3>"
    if not dossier.now:
        yield _none(
            "この宛先についての記録がないため、広告宣伝メールは送信されません。",
            "Nothing is recorded: no advertising is sent.",
        )
    for standing in dossier.now:
        whose = _e(standing["sender"]) or "全送信者 (all)"
        topic = _e(standing["topic"]) or "全般 (all)"
        name = f"（{_e(dossier.senders[standing['sender']])}）" if standing["sender"] in dossier.senders else ""
        yield f"<h3>送信者 {whose}{name} ／ トピック {topic}</h3>"
        yield _list(("種別", "Category"), ("判断", "Decision"), ("理由・根拠", "Reason or basis"),
                    rows=[_decision(category, made) for category, made in standing["decisions"].items()])  # fmt: skip


def _timeline(dossier: Dossier) -> Iterator[str]:
    """The records in the order of what happened."""
    happened: list[tuple[str, str, str, Told]] = []
    for number, consent in enumerate(dossier.consents, 1):
        happened.append((consent["at"], f"2-{number}", _value("basis", consent["basis"]), consent))
    for number, refusal in enumerate(dossier.refusals, 1):
        ja, en = KINDS.get(refusal["kind"], (refusal["kind"], ""))
        happened.append((refusal["at"], f"5-{number}", _label(ja, en), refusal))
    for number, event in enumerate(dossier.mailbox, 1):
        happened.append((event["at"], f"6-{number}", _value("state", event["state"]), event))
    if not happened:
        return
    yield f"<h3>経過 {_en('What happened, in order')}</h3>"
    happened.sort(key=lambda one: (one[0], one[3]["event"]))
    rows = [
        (_time(at), what, f"{_e(told['sender'])} {_e(told['topic'])}", _e(told["source"]), see)
        for at, see, what, told in happened
    ]
    whose = ("送信者・トピック", "Sender, topic")
    yield _list(("日時", "At"), ("事項", "What"), whose, ("経路", "Source"), ("参照", "See"), rows=rows)


def _sender(dossier: Dossier, name: str) -> str:
    legal = dossier.senders.get(name)
    return f"{_e(legal)}（{_e(name)}）" if legal else _e(name)


def _without(told: Told, name: str) -> Told:
    return {field: value for field, value in told.items() if field != name}


def _decision(category: str, made: Mapping[str, str]) -> Sequence[str]:
    ja, en = CATEGORIES.get(category, (category, ""))
    verdict = made["verdict"]
    shown = VERDICTS.get(verdict, (verdict, ""))
    marked = f'<span class="{_e(verdict)}">{_e(shown[0])}</span> {_en(shown[1])}'
    return (
        f"{_e(ja)} {_en(f'{category} {en}')}",
        marked,
        f'<span class="code">{_e(made["reason"] or made["basis"])}</span>',
    )


def _consents(dossier: Dossier) -> Iterator[str]:
    yield _h2("2. 同意等の記録", "Consents (特定電子メール法第3条第2項・同法施行規則第4条第1項)")
    if not dossier.consents:
        yield _none("記録はありません。", "None.")
    for number, consent in enumerate(dossier.consents, 1):
        yield _card(f"2-{number}", "同意等", "Consent", _without(consent, "kind"))


def _forms(dossier: Dossier) -> Iterator[str]:
    yield _h2("3. 同意を受けた際に表示した定型的な事項", "Forms that were shown (同規則第4条第1項第2号)")
    if not dossier.forms:
        yield _none("登録された様式はありません。", "No stored form is referred to.")
    for number, form in enumerate(dossier.forms, 1):
        content = form.get("content")
        yield _card(f"3-{number}", "様式", "Form", {k: v for k, v in form.items() if not k.startswith("content")}, "")
        if content is None:
            yield _none(
                "文字データではないため、内容は JSON ファイルに収録。", "Not text: the content is in the JSON file."
            )
            continue
        yield f"<pre>{_e(content[:MOST_CONTENT])}</pre>"
        if len(content) > MOST_CONTENT:
            yield _none("以下省略。全文は JSON ファイルに収録。", "Cut here; the JSON file has all of it.")


def _signups(dossier: Dossier) -> Iterator[str]:
    yield _h2(
        "4. 登録申込みと確認メール（ダブルオプトイン）", "Sign-ups and their confirmation (同規則第2条第1項第2号)"
    )
    if not dossier.signups:
        yield _none("記録はありません。", "None.")
    for number, signup in enumerate(dossier.signups, 1):
        yield _card(f"4-{number}", "登録申込み", "Sign-up", signup, "asked_at")


def _refusals(dossier: Dossier) -> Iterator[str]:
    yield _h2("5. 受信拒否・苦情の記録", "Refusals and complaints (特定電子メール法第3条第3項)")
    if not dossier.refusals:
        yield _none("記録はありません。", "None.")
    for number, refusal in enumerate(dossier.refusals, 1):
        ja, en = KINDS.get(refusal["kind"], (refusal["kind"], ""))
        yield _card(f"5-{number}", ja, en, _without({**refusal, "applied_epoch": refusal["event"]}, "kind"))


def _mailbox(dossier: Dossier) -> Iterator[str]:
    yield _h2("6. メールボックスの状態", "What became known about the mailbox")
    if not dossier.mailbox:
        yield _none("記録はありません。", "None.")
    for number, event in enumerate(dossier.mailbox, 1):
        yield _card(f"6-{number}", "状態の記録", "State", _without(event, "kind"))


def _sends(dossier: Dossier) -> Iterator[str]:
    yield _h2("7. 送信の記録", "What was sent, and what was not (送信記録)")
    if dossier.last_sent:
        yield f"<h3>最後に送信した日 {_en('Last sent; the day counts in Japan time')}</h3>"
        whats = {
            "any": "すべて (any mail)",
            "advertising": "広告宣伝 (advertising)",
            "mail_order": "通信販売広告 (mail order)",
        }
        yield _list(("送信者", "Sender"), ("内容", "What"), ("日本の暦日", "Day in Japan"), ("日時", "At"),
                    rows=[(_e(sent["sender"]), whats[sent["what"]], _e(sent["at_jst"]), _time(sent["at"]))
                          for sent in dossier.last_sent])  # fmt: skip
    if dossier.last_days:
        what = "Last day of advertising, noted before it was sent"
        yield f"<h3>広告宣伝メールを最後に送信した日（送信前に記録した暦日） {_en(what)}</h3>"
        rows = [(_sender(dossier, one["sender"]), one["advertising"], one["mail_order"]) for one in dossier.last_days]
        yield _list(("送信者", "Sender"), ("広告宣伝", "Advertising"), ("通信販売広告", "Mail order"), rows=rows)
    if not dossier.sends:
        yield _none("送信記録に該当はありません。", "The journal has nothing for this address.")
        return
    yield _list(("日時", "At"), ("結果", "Outcome"), ("送信者／種別", "Sender, category"), ("一斉送信名", "Mailing"),
                ("根拠・理由・応答", "Basis, reason, reply"),
                rows=[_send(send) for send in dossier.sends])  # fmt: skip
    if dossier.sends_cut:
        yield _none("件数が多いため新しいものに限っています。", "Too many: only the newest are shown.")


def _send(send: Told) -> Sequence[str]:
    ja, en = SENDS.get(send["type"], (send["type"], ""))
    doubt = f"<br>到達不確実 {_en('in doubt')}" if send.get("in_doubt") else ""
    why = [_e(str(send[name])) for name in ("basis", "reason", "reply") if send.get(name)]
    whose = f"{_e(send.get('legal_sender', ''))}<br>{_e(send.get('category', ''))} {_e(send.get('topic', ''))}"
    return (_time(send["at"]), f"{_e(ja)} {_en(en)}{doubt}", whose, _e(send.get("mailing", "")), "<br>".join(why))


def _notes() -> Iterator[str]:
    yield _h2("8. この書面の読み方", "How to read this")
    yield (
        "<p>日時は日本標準時で示し、協定世界時（UTC）を併記しています。法令上の期間は日本の暦日で数えます。"
        "記録は追記のみで、訂正は新しい記録として残ります。"
        "「様式」は表示した内容そのもののバイト列で、識別子はその SHA-256 です"
        '（保存した内容に対して <span class="code">sha256sum</span> を実行すれば照合できます）。'
        "表記の異なる同一のメールボックス（大文字・小文字、引用符の有無など）に対する受信拒否も含みます。"
        "送信記録は、この書面の作成時に残っていたものに限ります。</p>"
    )  # fmt: skip
    yield (
        '<p class="en">Times are Japan Standard Time with UTC beside them; periods of law count days in Japan. '
        "Records are only ever added; a correction is a new record. A form is the very bytes that were shown, named by "
        "their SHA-256, which anybody can compute again. Refusals told under another spelling of the same mailbox are "
        "included. Of the sending log this has what was kept when the page was made.</p>"
    )
    yield "<footer>速達 Sokutatsu</footer>"


def _card(number: str, ja: str, en: str, told: Told, time_field: str = "at") -> str:
    """One record: a heading, and all it says."""
    rows = [(_label(*FIELDS.get(name, (name, ""))), _value(name, value)) for name, value in told.items()
            if name not in _NOT_SHOWN and value not in ("", None, [], ())]  # fmt: skip
    at = f" — {_day(told[time_field])}" if told.get(time_field) else ""
    return f'<div class="card"><h3>{_e(number)} {_e(ja)} {_en(en)}{at}</h3>{_of(rows)}</div>'


def _value(name: str, value: Any) -> str:
    if name in _TIMES:
        return _time(str(value))
    if isinstance(value, list | tuple):
        return "、".join(_value(name, one) for one in value)
    if isinstance(value, bool):
        return "はい (yes)" if value else "いいえ (no)"
    text = _e(str(value))
    ja, en = VALUES.get(name, {}).get(str(value), ("", ""))
    shown = f"{_e(ja)} {_en(f'{value} {en}'.strip())}" if ja else text
    return (
        f'<span class="code">{shown}</span>'
        if name in ("form", "user_agent", "doi_user_agent", "message_id")
        else shown
    )


def _of(rows: Iterable[tuple[str, str]]) -> str:
    return (
        '<table class="of">' + "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in rows) + "</table>"
    )


def _list(*columns: tuple[str, str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{_label(ja, en)}</th>" for ja, en in columns)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<table class="list"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _time(text: str) -> str:
    moment = datetime.fromisoformat(text).astimezone(_JST)
    utc = text.replace("T", " ").replace("Z", " UTC")
    day = f"{moment.year}年{moment.month}月{moment.day}日"
    return f'<span class="nb">{day} {moment:%H:%M:%S}</span> <span class="utc">{_e(utc)}</span>'


def _day(text: str) -> str:
    moment = datetime.fromisoformat(text).astimezone(_JST)
    return f"{moment.year}年{moment.month}月{moment.day}日"


def _h2(ja: str, en: str) -> str:
    return f"<h2>{_e(ja)}{_en(en)}</h2>"


def _label(ja: str, en: str) -> str:
    return f"{_e(ja)} {_en(en)}" if en else _e(ja)


def _none(ja: str, en: str) -> str:
    return f'<p class="none">{_e(ja)} {_en(en)}</p>'


def _en(text: str) -> str:
    return f'<span class="en" lang="en">{_e(text)}</span>'


def _e(text: str) -> str:
    """Escaped; what steers a terminal or turns the direction of writing is shown as its code."""
    safe = "".join(letter if letter.isprintable() or letter in "\n\t\u3000" else ascii(letter)[1:-1] for letter in text)
    return escape(safe)
