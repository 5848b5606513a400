"""What the display check has to say: one finding a fault, with the rule, the article it rests on, the place and the
remedy in Japanese and English. A finding is a value; whether a blocking one refuses a submit is for the sender's
setting to say.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum

MOST_FINDINGS = 100
_MAX_EXCERPT = 80


class Severity(StrEnum):
    BLOCK = "block"
    WARN = "warn"


@dataclass(frozen=True, slots=True)
class Rule:
    """What stands in a report beside the finding itself."""

    article: str
    ja: str
    en: str


RULES = {
    "D01": Rule("特定電子メール法4条1号, 施行規則7条1項1号", "送信者の氏名・名称の表示", "name of the sender"),
    "D02": Rule("特定電子メール法4条2号, 施行規則7条1項1号・8条", "受信拒否の通知先の表示", "opt-out address or URL"),
    "D03": Rule("施行規則7条1項2号・9条1号", "受信拒否ができる旨の表示", "statement that one can opt out there"),
    "D04": Rule("施行規則7条1項3号・9条2号・3号", "住所と苦情・問合せ先の表示", "postal address and contact"),
    "D05": Rule("施行規則7条2項", "本文と同じ文字コードでの表示", "shown as text, in the charset of the text"),
    "D06": Rule("施行規則7条1項", "容易に認識できる表示", "shown where it is easily noticed"),
    "D07": Rule("施行規則7条1項1号", "表示の位置", "place of the display"),
    "D08": Rule("特定電子メール法4条1号", "登記上の名称", "registered name"),
    "D09": Rule("特定電子メール法4条, 特定商取引法12条の3第4項", "送信者と販売業者の両方の表示", "sender and seller"),
    "D10": Rule("特定商取引法11条・12条の3第4項", "通信販売の広告の表示事項", "items of mail-order advertising"),
    "D11": Rule("", "差し込みの残り", "unresolved merge fields"),
    "D12": Rule("RFC 8058", "List-Unsubscribe", "List-Unsubscribe"),
    "D13": Rule("特定電子メール法5条", "件名と差出人名", "subject and display name"),
    "D14": Rule(
        "特定電子メール法2条2号・3条1項",
        "区分 TX・CONFIRM の広告らしい内容",
        "TX or CONFIRM that reads like advertising",
    ),
    "D15": Rule("15 U.S.C. 7704(a)(5), CASL", "米国・カナダ宛の住所の表示", "postal address for the US and Canada"),
    "D16": Rule("RFC 5322 2.1.1・3.6", "メールの形式", "form of the message"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    rule: str
    severity: Severity
    part: str
    """text, html, subject, header, profile or message; behind `without_ad.` of the variant."""
    line: int
    """In the part as rendered, from 1; 0: the part as a whole."""
    ja: str
    """What is wrong and what to write."""
    en: str
    excerpt: str = ""

    @property
    def article(self) -> str:
        return RULES[self.rule].article

    @property
    def place(self) -> str:
        return f"{self.part}:{self.line}" if self.line else self.part

    def fields(self) -> dict[str, object]:
        """For answers and --json."""
        return {**asdict(self), "article": self.article}

    def one_line(self) -> str:
        """For error texts and logs, in English."""
        return f"{self.rule} {self.place}: {self.en}"


def block(rule: str, part: str, line: int, words: tuple[str, str], excerpt: str = "") -> Finding:
    return _finding(Severity.BLOCK, rule, part, line, words, excerpt)


def warn(rule: str, part: str, line: int, words: tuple[str, str], excerpt: str = "") -> Finding:
    return _finding(Severity.WARN, rule, part, line, words, excerpt)


def _finding(severity: Severity, rule: str, part: str, line: int, words: tuple[str, str], excerpt: str) -> Finding:
    """Nothing of the message reaches a terminal or a log but what prints."""
    shown = _plain(excerpt[:_MAX_EXCERPT]).strip() + ("…" if len(excerpt) > _MAX_EXCERPT else "")
    return Finding(rule, severity, part, line, _plain(words[0]), _plain(words[1]), shown)


def _plain(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
