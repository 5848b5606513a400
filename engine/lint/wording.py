# ruff: noqa: E501 - a sentence a line
"""What findings say: what is wrong and what to write, in Japanese and English. One entry a fault, {0} the details."""

from __future__ import annotations

from typing import Final

_SENTENCES: Final = {
    "too_deep": (
        "HTMLの入れ子が深すぎて確認できません。構造を簡単にしてください。",
        "the HTML is nested too deep to be checked: make it simpler",
    ),
    "no_name": (
        "送信者の名称「{0}」がありません。「送信者：{0}」と書くか、%footer% を置いてください。",
        "the sender's registered name {0!r} is missing: write it, or put %footer%",
    ),
    "blank": (
        "{0}の前に空行が{1}行あります。続けて読める位置に置いてください。",
        "{1} blank lines stand before {2}: put it where reading gets to it",
    ),
    "middle": (
        "{0}が本文の中ほどにあります。冒頭か末尾に置いてください。",
        "{1} stands in the middle: put it at the beginning or at the end",
    ),
    "no_opt_out": (
        "受信拒否の通知先がありません。「配信停止のお手続きはこちら %cancelurl%」と書くか、%footer% を置いてください。",
        "the opt-out link is missing: write %cancelurl% with a sentence beside it, or put %footer%",
    ),
    "no_opt_out_url": (
        "受信拒否の通知先がありません。設定の unsubscribe_url を決め、%cancelurl% か %footer% を置いてください。",
        "the opt-out link is missing: set the sender's unsubscribe_url and write %cancelurl% or %footer%",
    ),
    "foreign_opt_out": (
        "受信拒否の通知先 {0!r} は送信者のものではありません。%cancelurl% を使ってください。",
        "the opt-out goes to {0!r}, which is not the sender's: use %cancelurl%",
    ),
    "shared_opt_out": (
        "受信拒否のURLが受信者ごとではありません。%cancelurl% を使うと、お手続きが一度で済みます。",
        "the opt-out is the same for everybody: %cancelurl% knows the recipient",
    ),
    "bare_link": (
        "リンクの文字だけで、受信拒否ができる旨がありません。「こちらから配信を停止できます」のように書いてください。",
        'the link\'s words do not say that one can opt out there: write "you can unsubscribe here"',
    ),
    "no_statement": (
        "受信拒否ができる旨が通知先の直前・直後にありません。「配信の停止は次のページからお手続きできます」と並べて書いてください。",
        'no statement stands right before or after the opt-out: write "you can unsubscribe on this page" there',
    ),
    "no_address_abroad": (
        "米国・カナダ宛には、住所をメールの本文に書く必要があります。",
        "to the US and Canada the postal address has to stand in the mail itself",
    ),
    "no_address": (
        "送信者の住所がありません。「住所：{0}」と書くか、会社概要のページへのリンクを置いてください。",
        "the sender's postal address is missing: write it, or a link that says where it is",
    ),
    "no_contact": (
        "苦情・問合せの受付先がありません。電話番号、メールアドレスかURLを「お問い合わせ：」と書いてください。",
        "nothing says where complaints are taken: write a phone number, a mail address or a URL",
    ),
    "no_registered_name": (
        "「{0}」は登記上の名称に見えません。株式会社などを含む名称を legal_name に書くか、個人なら individual = true としてください。",
        "{0!r} does not look like a registered name: write it in full in legal_name, or set individual = true",
    ),
    "no_seller": (
        "販売業者の表示「{0}」がありません。送信者と販売業者の両方の名称と受信拒否の通知先を書いてください。",
        "{0!r} of the seller is missing: show name and opt-out of the sender and of the seller",
    ),
    "no_seller_mail": (
        "販売業者のメールアドレスがありません。「販売業者のメールアドレス：{0}」と書いてください。",
        "the seller's mail address is missing: write it (特定商取引法施行規則 23条)",
    ),
    "no_items": (
        "特定商取引法の表示事項がありません。「特定商取引法に基づく表示」のページへのリンクを置いてください。",
        "the items of mail-order advertising are missing: link the page 特定商取引法に基づく表示",
    ),
    "empty_link": (
        "リンク先が空です。URLを書いてください。",
        "a link leads nowhere: write its URL",
    ),
    "left": (
        "{0} が置き換えられずに残っています。差し込みの書き方を直すか、消してください。",
        "{0!r} was not replaced: correct the merge field or take it out",
    ),
    "reply_subject": (
        "返信や転送ではないのに、件名が Re: や Fwd: で始まっています。取ってください。",
        "the subject begins like a reply or a forward, which this is not: take that out",
    ),
    "mail_in_name": (
        "差出人名にメールアドレスが入っています。名称だけにしてください。",
        "the display name has a mail address in it: write the name only",
    ),
    "pictogram": (
        "差出人名の絵文字や記号は、なりすましと見なされることがあります。取ってください。",
        "the display name has a pictogram, which receivers take for deceit: take it out",
    ),
    "no_one_click": (
        "List-Unsubscribe（https を1つ）と List-Unsubscribe-Post がありません。設定の unsubscribe_url を決めてください。",
        "List-Unsubscribe with one https URL and List-Unsubscribe-Post are missing: set unsubscribe_url",
    ),
    "selling": (
        "広告と読める言葉かリンクがあります（{0}）。AD か TX_AD に改めるか、外してください（tx_that_sells で警告のみにできます）。",
        "this reads like advertising ({1}): send it as AD or TX_AD, or take it out (tx_that_sells makes it a warning)",
    ),
    "confirm_sells": (
        "同意を求めるメール（CONFIRM）に広告は書けません（{0}）。同意のお願いだけにしてください。",
        "the mail that asks for consent may not advertise ({1}): let it ask, and nothing else",
    ),
    "unreadable": (
        "メールの形式を読めません（{0}）。",
        "cannot be read: {0}",
    ),
    "fields": (
        "{0} が{1}個あります。1個にしてください。",
        "{1} fields {0}: there must be one",
    ),
    "long_line": (
        "{0}バイトの行があります。{1}バイト以下に折り返してください。",
        "a line has {0} octets: fold to {1} at most",
    ),
    "large_header": (
        "ヘッダーが{0}バイトあります。携帯電話会社が受け取る{1}バイト以下にしてください。",
        "the header has {0} octets: SoftBank takes {1}",
    ),
    "large_message": (
        "全体で{0}バイトあり、上限のある受信側（{1}）には届きません。画像などを減らして上限以下にしてください。",
        "the message has {0} octets, more than some receivers take ({1}): make it smaller for those",
    ),
    "by_style": (
        "{0}が読めない状態です（{2}）。そのまま読める文字で表示してください。",
        "{1} cannot be read ({2}): show it as plainly visible text",
    ),
    "no_text": (
        "{0}が本文の文字として表示されていません（{2}）。本文と同じ文字コードの文字で書いてください。",
        "{1} is not part of the text ({2}): write it as text, in the charset of the text",
    ),
}


def say(key: str, *details: object) -> tuple[str, str]:
    ja, en = _SENTENCES[key]
    return ja.format(*details), en.format(*details)
