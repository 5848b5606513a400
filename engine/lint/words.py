"""The words that Japanese and English mails use for what the law wants, as patterns, and the form they are compared in.

Every repetition is bounded, so that matching costs a fixed amount per character however hostile the text is.
"""

from __future__ import annotations

import re
import unicodedata

_DASHES = str.maketrans(dict.fromkeys("‐‑‒–—―−ー", "-"))
_SPACE = re.compile(r"\s+")

OPTOUT_ACT = re.compile(
    r"(?:配信|購読|受信|登録|メルマガ|メールマガジン|会員|お知らせメール)[^。\n]{0,8}(?:停止|解除|中止|拒否|取消|取り消し|変更|抹消)"
    r"|退会|オプトアウト|リストから(?:外|削除)"
    r"|(?:配信|メール|受信)[^。\n]{0,6}(?:不要|希望(?:で|では|し|され)ない|希望されません|必要(?:で|の)ない)"
    r"|unsubscribe|opt[- ]?out|stop (?:receiving|getting|these)|(?:no longer|not) (?:wish|want) to (?:receive|get)"
    r"|remove (?:me|yourself|your address)",
    re.IGNORECASE,
)
"""What is done: stopping, leaving."""
# fmt: off
OPTOUT_CAN = re.compile(
    r"できます|可能です|こちら|手続|下記|次の(?:ページ|リンク|URL)|クリック|お申し?出|ご連絡|返信|方は|いただけます"
    r"|お願い(?:いた)?します|\bcan\b|\bmay\b|\bclick|\bhere\b|\bvisit|\breply|\bfollow|\bthis (?:page|link)"
    r"|\bbelow\b|\bat any time",
    re.IGNORECASE,
)
# fmt: on
"""That it can be done, or how: a bare "購読解除" does not say so."""
BY_REPLY = re.compile(r"返信|reply", re.IGNORECASE)

CORPORATION = re.compile(
    r"株式会社|有限会社|合同会社|合資会社|合名会社|相互会社|組合|(?:一般|公益)(?:社団|財団)法人|(?:学校|医療|宗教|社会福祉|特定非営利活動)法人"
    r"|独立行政法人|国立大学法人|[省庁都道府県市区町村]$|\b(?:Inc|Ltd|LLC|GmbH|Corp|Co|K\.?K|PLC)\b\.?|Limited|Corporation|Company",
    re.IGNORECASE,
)
POSTAL = re.compile(
    r"〒\s?[0-9]{3}-?[0-9]{4}"
    r"|(?:東京都|北海道|(?:京都|大阪)府|[一-龥]{2,3}県)[^\n市区町村郡]{0,20}[市区町村郡]"
    r"[^\n0-9一二三四五六七八九十]{0,30}[0-9一二三四五六七八九十]"
)
PHONE = re.compile(r"(?<![0-9-])(?:\+81[ -]?|0)[0-9]{1,4}[-( ]?[0-9]{1,4}[-) ]?[0-9]{3,4}(?![0-9])")
POINTER = re.compile(
    r"住所|所在地|会社概要|会社情報|運営会社|特定商取引法に基づく表[示記]|お?問い?合わ?せ|苦情|相談窓口|サポート"
    r"|postal address|about us|company information|contact us|customer support",
    re.IGNORECASE,
)
MAIL_ORDER = {
    "販売業者": re.compile(r"販売(?:業者|事業者|元|会社)|\bseller\b", re.IGNORECASE),
    "送料": re.compile(r"送料|配送料|\bshipping\b", re.IGNORECASE),
    "支払": re.compile(r"支払|お支払い|\bpayment\b", re.IGNORECASE),
    "引渡時期": re.compile(r"引渡|お届け|発送時期|\bdelivery\b", re.IGNORECASE),
    "返品": re.compile(r"返品|キャンセル|解約|\breturns?\b|\bwithdraw", re.IGNORECASE),
}
TOKUSHO = re.compile(r"特定商取引|Specified Commercial Transactions", re.IGNORECASE)

# fmt: off
AD_WORDS = re.compile(
    r"セール(?!ス)|(?:期間|数量|会員|先着|web)限定|お買い?得|特価|半額|今だけ|見逃しなく|大感謝祭|キャンペーン"
    r"|新発売|新商品のご(?:案内|紹介)|おすすめ商品|ポイント[0-9]{1,3}倍|[0-9]{1,2} ?% ?(?:off|オフ|引き)"
    r"|クーポン(?:プレゼント|進呈|を?配布)|プレゼント中|詳しくは特設"
    r"|\bsale\b|\bspecial offer|\blimited time|\bdiscount|\bbuy now|\bshop now|\bdeals?\b",
    re.IGNORECASE,
)
# fmt: on
SLOT_LEFT = re.compile(r"\{\{[^{}\n]{0,64}\}\}|\[\[[^\[\]\n]{1,64}\]\]|%[A-Za-z][A-Za-z_]{3,30}%|\$\{[^{}\n]{1,64}\}")
EXAMPLE_HOST = re.compile(r"(?<![A-Za-z0-9-])example\.(?:com|net|org)(?![A-Za-z0-9-])", re.IGNORECASE)
URL = re.compile(r"https?://[^\s<>\"'()（）「」【】、。　]{1,2000}", re.IGNORECASE)
MAIL = re.compile(r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")
REPLY_SUBJECT = re.compile(r"\s{0,8}(?:re|fwd?|aw)\s{0,4}[:：\[]", re.IGNORECASE)


def narrowed(text: str) -> str:
    """NFKC: full-width digits and letters become ASCII, for the patterns above."""
    return unicodedata.normalize("NFKC", text)


def fold(text: str) -> str:
    """As texts are compared: NFKC, no white space, one kind of dash, one case."""
    return _SPACE.sub("", narrowed(text)).translate(_DASHES).casefold()


def digits(phone: str) -> str:
    """A phone number as it is dialled within Japan."""
    bare = re.sub(r"[^0-9+]", "", narrowed(phone))
    return "0" + bare[3:].removeprefix("0") if bare.startswith("+81") else bare.lstrip("+")
