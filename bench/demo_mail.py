"""What the demo sends: a newsletter as a Japanese shop would write it, and the configuration that it is sent with."""

from __future__ import annotations

SENDER = "yamabuki"
SENDER_DOMAIN = "news.yamabuki.example.jp"
TOPIC = "newsletter"

_FAMILY = ("佐藤", "鈴木", "高橋", "田中", "伊藤", "渡辺", "山本", "中村", "小林", "加藤")
_GIVEN = ("陽菜", "蓮", "結衣", "湊", "葵", "大和", "凛", "悠真", "美咲", "健一", "直樹")

_TEXT = """{{name}} 様

いつも山吹堂をご利用いただき、誠にありがとうございます。
秋の感謝祭のご案内をお送りいたします。

■ 期間　　　　11月27日(金)〜11月30日(月)
■ 会員様特典　全品 10% 引き
■ クーポン　　{{coupon}}
■ 現在のポイント　{{points}} ポイント

新米、りんご、焼き菓子など、この季節ならではの品々を取りそろえて
お待ちしております。皆様のご来店を心よりお待ち申し上げます。

このメールは、山吹堂メールマガジンにお申し込みいただいた方にお送りしています。
%footer%
"""

_HTML = """<!DOCTYPE html>
<html lang="ja"><head><meta charset="utf-8"><title>秋の感謝祭</title></head>
<body style="font-family:sans-serif;line-height:1.8;color:#333">
<h1 style="color:#b8860b">秋の感謝祭</h1>
<p>{{name}} 様</p>
<p>いつも山吹堂をご利用いただき、誠にありがとうございます。</p>
<table cellpadding="6">
<tr><th align="left">期間</th><td>11月27日(金)〜11月30日(月)</td></tr>
<tr><th align="left">会員様特典</th><td>全品 10% 引き</td></tr>
<tr><th align="left">クーポン</th><td><code>{{coupon}}</code></td></tr>
<tr><th align="left">現在のポイント</th><td>{{points}} ポイント</td></tr>
</table>
<p>新米、りんご、焼き菓子など、この季節ならではの品々を取りそろえてお待ちしております。</p>
<p>このメールは、山吹堂メールマガジンにお申し込みいただいた方にお送りしています。</p>
%footer%
</body></html>
"""

MESSAGE = {"subject": "{{name}}様へ 秋の感謝祭のご案内【山吹堂】", "text": _TEXT, "html": _HTML}


def merge_fields(number: int) -> dict[str, str]:
    return {
        "name": f"{_FAMILY[number % len(_FAMILY)]}{_GIVEN[number % len(_GIVEN)]}",
        "coupon": f"AKI-{number:06d}",
        "points": str(number * 37 % 9973),
    }


def configuration(*, route: str, admin: str) -> str:
    """Paths are relative to the file."""
    return f"""# Made by `make demo`. deploy/sokutatsu.toml explains every key.
[engine]
state = "state"
ehlo_name = "out.yamabuki.example.jp"

[admin]
listen = "{admin}"

[senders.{SENDER}]
legal_name = "株式会社山吹堂"
address = "山吹堂 <magazine@{SENDER_DOMAIN}>"
unsubscribe_url = "https://{SENDER_DOMAIN}/u/{{token}}"
feedback_id = ["{TOPIC}", "{SENDER}"]

# What has to be displayed of the sender (表示義務): %footer% is built from it.
[senders.{SENDER}.profile]
postal_address = "〒100-0013 東京都千代田区霞が関2-1-2"
phone = "03-0000-0000"
contact_mail = "info@yamabuki.example.jp"

[[senders.{SENDER}.dkim]]
selector = "demo"
key = "dkim.pem"

# All domains go to the demo's receiver. Its certificate is self-signed: TLS yes, verification no.
[routes]
"*" = {{ to = "{route}", tls = "RequiredInsecure" }}

[shaping.default]
max_message_rate = "unlimited"
max_connection_rate = "unlimited"
max_deliveries_per_connection = 10000
retry_steps = ["2s"]
"""
