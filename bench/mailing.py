"""Whom the bench writes to, and what: made-up people and a personalised newsletter in Japanese.

A recipient is a number; address and merge fields follow from it, and the number can be read back from the address,
so that a million receipts are compared with a million acceptances without keeping a million strings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

DOMAIN = "bench.example"
STALLED_DOMAIN = "stalled.example"
URGENT = "urgent"
_NUMBER = re.compile(r"(?:[a-z0-9-]*-)?(person|urgent)(\d+)@")

_FAMILY = ("佐藤", "鈴木", "高橋", "田中", "伊藤", "渡辺", "山本", "中村", "小林", "加藤", "吉田", "山田")
_GIVEN = ("陽菜", "蓮", "結衣", "湊", "葵", "大和", "凛", "悠真", "美咲", "翔太", "花子", "健一", "直樹")
_SHOPS = ("渋谷店", "梅田店", "名古屋店", "札幌店", "博多店", "仙台店", "広島店")

_TEXT = """{{name}} 様

いつもご利用いただき、ありがとうございます。速達ベンチ商店です。
{{name}} 様の現在のポイントは {{points}} ポイントです。

{{shop}}では、今週末に秋の感謝祭を開催いたします。クーポンコード {{coupon}} をレジでお見せください。
"""
_PARAGRAPH = "季節の果物、焼きたてのパン、産地直送の野菜など、皆さまにお楽しみいただける品々をご用意しております。\n"
_END = """
%footer%
"""
_HTML = """<!DOCTYPE html><html lang="ja"><body><h1>秋の感謝祭</h1><p>{{name}} 様</p>
<p>現在のポイントは <b>{{points}}</b> ポイント、クーポンは <code>{{coupon}}</code> です。</p>
<p>{{shop}}でお待ちしております。</p>
<p>%s</p>
%%footer%%</body></html>
"""
_SHORT = "{{name}} 様 {{points}} ポイント {{shop}} {{coupon}}\n%footer%\n"
_SMALL = 2048
_HEADER_BYTES = 1900
"""Header, signature and MIME frame of a message on the wire, about."""
_FOOTER_BYTES = 1000
"""%footer% in both parts, about."""


@dataclass(frozen=True, slots=True)
class People:
    """Who is written to. The stalled ones come after the others: numbers from `count` on."""

    count: int
    domains: int
    stalled: int = 0
    stalled_fault: str = "stall"

    def address(self, number: int) -> str:
        if number >= self.count:
            return f"{self.stalled_fault}-person{number}@{STALLED_DOMAIN}"
        return f"person{number}@d{number % self.domains}.{DOMAIN}"

    def recipients(self, start: int, stop: int) -> Iterator[tuple[str, dict[str, str]]]:
        for number in range(start, stop):
            yield self.address(number), fields(number)

    @property
    def total(self) -> int:
        return self.count + self.stalled


def fields(number: int) -> dict[str, str]:
    return {
        "name": f"{_FAMILY[number % 12]} {_GIVEN[number % 13]}",
        "points": str(number * 7 % 9973),
        "shop": _SHOPS[number % 7],
        "coupon": f"AKI-{number:08d}",
    }


def urgent_address(number: int) -> str:
    return f"{URGENT}{number}@d0.{DOMAIN}"


def number_of(address: str) -> tuple[str, int]:
    """("person" or "urgent", number). Raises ValueError for an address that is none of ours."""
    found = _NUMBER.match(address)
    if found is None:
        raise ValueError(f"{address[:80]!a} is no recipient of the bench")
    return found[1], int(found[2])


def message(size: int) -> dict[str, str]:
    """A template with text and HTML that is about `size` bytes on the wire; a small one has a short text alone. The
    header with signature and List-Unsubscribe takes more than a kilobyte by itself.
    """
    if size < _SMALL:
        return {"subject": "{{name}} 様へ", "text": _SHORT}
    paragraph = len(_PARAGRAPH.encode()) * 4 / 3
    fixed = len((_TEXT + _END + _HTML).encode()) * 4 / 3 + _HEADER_BYTES + _FOOTER_BYTES
    count = max(0, round((size - fixed) / paragraph))
    in_text = (count + 1) // 2
    return {
        "subject": "{{name}} 様へ 秋の感謝祭のご案内",
        "text": _TEXT + _PARAGRAPH * in_text + _END,
        "html": _HTML % (_PARAGRAPH * (count - in_text)),
    }
