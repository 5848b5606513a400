"""The words of the evidence page: Japanese and English for every field, kind and value that a record may have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Words = tuple[str, str]

FIELDS: Final[Mapping[str, Words]] = {
    "event": ("記録番号", "Record number"),
    "address": ("記録上のアドレス表記", "Address as recorded"),
    "kind": ("種類", "Kind"),
    "sender": ("送信者（または送信委託者）", "Sender"),
    "topic": ("対象のトピック", "Topic"),
    "topics": ("対象のトピック", "Topics"),
    "at": ("受領した日時", "Received at"),
    "recorded_at": ("記録した日時", "Recorded at"),
    "source": ("受領の経路", "Source"),
    "basis": ("根拠", "Basis"),
    "covers": ("同意の範囲", "Covers"),
    "method": ("方法", "Method"),
    "form": ("表示した様式（SHA-256）", "Form"),
    "url": ("受領したページ", "URL"),
    "ip": ("申込者の IP アドレス", "IP address"),
    "user_agent": ("申込者のブラウザ等", "User agent"),
    "checkbox_default": ("チェックボックスの初期状態", "Checkbox default"),
    "displayed_sender": ("表示した送信者の名称", "Sender's name as displayed"),
    "privacy_policy_url": ("プライバシーポリシー", "Privacy policy"),
    "acquired_url": ("アドレスの取得元", "Where the address was acquired"),
    "third_parties": ("同意の相手方となる第三者", "Third parties named"),
    "evidence_ref": ("証拠の所在", "Where the proof lies"),
    "evidence": ("その他の状況", "Further circumstances"),
    "message_id": ("契機となったメール", "Mail that triggered it"),
    "asked_at": ("アドレスが入力された日時", "Address typed in at"),
    "doi_sent_at": ("確認メールを送信に付した日時", "CONFIRM accepted for sending at"),
    "doi_clicked_at": ("確認リンクが使われた日時", "Link used at"),
    "doi_ip": ("確認時の IP アドレス", "IP address at confirmation"),
    "doi_user_agent": ("確認時のブラウザ等", "User agent at confirmation"),
    "confirm_sent_at": ("確認メールを送信に付した日時", "CONFIRM accepted for sending at"),
    "confirmed_at": ("確認された日時", "Confirmed at"),
    "state": ("状態", "State"),
    "applied_epoch": ("適用された記録番号", "In force from record"),
    "statement": ("同意の文言", "Words of consent"),
    "language": ("言語", "Language"),
    "auto_compiled": ("回答が自動的に一覧化される", "Answers compile themselves into a list"),
    "shown_from": ("表示の開始", "Shown from"),
    "shown_to": ("表示の終了", "Shown until"),
    "bytes": ("バイト数", "Bytes"),
}

KINDS: Final[Mapping[str, Words]] = {
    "OPT_OUT": ("受信拒否", "Opt-out"),
    "COMPLAINT": ("迷惑メール報告", "Complaint"),
    "WITHDRAWAL": ("同意等の終了", "Withdrawal"),
}

_COVERS: Final[Mapping[str, Words]] = {
    "AD": ("広告宣伝メール", ""),
    "MAIL_ORDER": ("通信販売等の電子メール広告", ""),
}

VALUES: Final[Mapping[str, Mapping[str, Words]]] = {
    "basis": {
        "OPTIN_REC": ("同意（記録あり、法第3条第1項第1号）", ""),
        "OPTIN_NOREC": ("同意（記録が不十分、広告宣伝には用いない）", ""),
        "MO_REC": ("請求または承諾（特定商取引法第12条の3、記録あり）", ""),
        "BIZREL": ("取引関係（法第3条第1項第3号）", ""),
        "CARD": ("書面によるアドレスの通知（法第3条第1項第2号）", ""),
        "ADDR_GIVEN": ("アドレスの通知（広告宣伝には用いない）", ""),
        "PUBLISHED": ("アドレスの公表（法第3条第1項第4号）", ""),
        "PUBLISHED_NOADS": ("公表（広告宣伝お断りの表示あり）", ""),
        "PUBLISHED_PRIVATE": ("公表（個人、営業を営まない者）", ""),
    },
    "covers": _COVERS,
    "method": {
        "web": ("ウェブページ", ""),
        "mail": ("電子メール", ""),
        "paper": ("書面", ""),
        "fax": ("ファクシミリ", ""),
        "phone": ("電話", ""),
        "oral": ("口頭", ""),
    },
    "checkbox_default": {"off": ("未選択", ""), "on": ("選択済み", ""), "none": ("チェックボックスなし", "")},
    "kind": {
        "web": ("ウェブページ", ""),
        "mail": ("電子メール", ""),
        "paper": ("書面（ファクシミリを含む）", ""),
    },
    "state": {
        "OK": ("有効（確認済み）", ""),
        "UNKNOWN_USER": ("宛先不明", ""),
        "NULL_MX": ("メールを受信しないドメイン", ""),
        "FICT_SUSPECT": ("架空アドレスの疑い", ""),
        "FICT_CONFIRMED": ("架空アドレス", ""),
    },
}

CATEGORIES: Final[Mapping[str, Words]] = {
    "AD": ("広告宣伝", "advertising"),
    "AD_MO": ("通信販売等の広告", "mail-order advertising"),
    "TX_AD": ("取引通知に付随する広告", "notice of a contract with an ad"),
    "OTHER_AD": ("その他の通知に付随する広告", "other notice with an ad"),
    "FREE_AD": ("無料メールサービスの広告", "ad of a free mail service"),
    "CONFIRM": ("同意の確認", "the one mail that asks"),
    "TX": ("取引の通知のみ", "pure notice"),
    "NP": ("非営利の送信", "non-profit sender"),
}

VERDICTS: Final[Mapping[str, Words]] = {
    "SEND": ("送信可", "may go"),
    "STRIP": ("広告を除けば送信可", "may go without the ad"),
    "HOLD": ("保留", "held for review"),
    "BLOCK": ("送信不可", "must not go"),
}

SENDS: Final[Mapping[str, Words]] = {
    "Delivery": ("配信済み", "delivered"),
    "TransientFailure": ("一時的な失敗", "deferred"),
    "Bounce": ("配信不能", "bounced"),
    "Expiration": ("期限切れ", "expired"),
    "Suppressed": ("送信せず（抑止）", "not sent: suppressed"),
    "Cancelled": ("取消し", "cancelled"),
}
