"""Mails as Japanese senders write them: those that are in order, those that fail for exactly one reason, and phrases."""

from __future__ import annotations

from dataclasses import replace

import pytest
from lint_samples import ADDRESS, FOOT, HTML_FOOT, NAME, ORDER_SHOP, ORDERING, PROFILE, SHOP, findings, raw, rules

from engine.mail.profile import Language, MailOrder, Profile

NEWS = (
    "{{name}} 様\n\nいつもやまぶき堂をご利用いただき、誠にありがとうございます。\n新緑の季節となりました。今月のおすすめをご紹介いたします。\n\n"
    "■ 新茶「宇治の初摘み」 5月1日発売\n■ 柏餅(こしあん・みそあん) 5月5日まで\n\n皆様のご来店を心よりお待ち申し上げます。\n"
)
LONG = NEWS * 6
HTML_NEWS = (
    '<!DOCTYPE html><html lang="ja"><head><meta charset="utf-8"><title>やまぶき堂だより</title>'
    "<style>.button{background-color:#b8860b;color:#ffffff}@media (max-width:600px){.wide{display:none}}</style></head>"
    '<body style="margin:0;color:#333333;background-color:#fafafa"><table width="600" bgcolor="#ffffff"><tr><td>'
    '<h1 style="color:#b8860b">春の新作</h1><p>{{name}} 様</p><p>桜餅と道明寺を取りそろえました。</p>'
    '<p><a class="button" href="https://yamabuki.co.jp/spring">商品ページへ</a></p></td></tr>'
    '<tr><td style="font-size:12px;color:#777777">%s</td></tr></table></body></html>'
)
RECEIPT = (
    "{{name}} 様\n\nご注文ありがとうございます。\n注文番号 {{order}}\n商品 桜餅 10個入 1点 1,980円\n送料 無料\nクーポンご利用 -500円\n"
    "合計 1,480円 (税込)\nお支払い クレジットカード\nお届け予定 4月3日\n"
)

LAWFUL: dict[str, tuple[dict[str, object], str, object]] = {
    "newsletter, text, footer by hand": ({"text": NEWS + FOOT}, "AD", SHOP),
    "newsletter with the macro": ({"text": NEWS + "%footer%", "html": HTML_NEWS % "%footer%"}, "AD", SHOP),
    "newsletter, html, footer by hand": ({"html": HTML_NEWS % HTML_FOOT}, "AD", SHOP),
    "both parts by hand": ({"text": LONG + FOOT, "html": HTML_NEWS % HTML_FOOT}, "AD", SHOP),
    "footer in front": ({"text": FOOT + "\n" + LONG}, "AD", SHOP),
    "full-width digits and another spacing": (
        {
            "text": NEWS + f"配信停止はこちら\n%cancelurl%\n{NAME}\n京都市 中京区 木屋町通 三条上る １－２－３\nＴＥＬ：０７５－１２３－４５６７\n"
        },
        "AD",
        SHOP,
    ),
    "address on a linked page": (
        {
            "text": NEWS
            + f"メールマガジンの登録解除は下記よりお手続きください。\n%cancelurl%\n発行元 {NAME}\n会社概要・お問い合わせ https://yamabuki.co.jp/about\n"
        },
        "AD",
        SHOP,
    ),
    "old telephones": ({"text": NEWS + "%footer%", "charset": "iso-2022-jp"}, "AD", SHOP),
    "mail order with the macro": ({"text": NEWS + "%footer%", "html": HTML_NEWS % "%footer%"}, "AD_MO", ORDER_SHOP),
    "mail order of another seller": (
        {"text": NEWS + "%footer%"},
        "AD_MO",
        replace(SHOP, profile=replace(ORDERING, mail_order=MailOrder("株式会社茶の木", "cha@chanoki.jp", "https://chanoki.jp/stop", "https://chanoki.jp/law"))),
    ),
    "english": (
        {"subject": "Spring news", "text": "Dear {{name}},\n\nOur spring menu is here.\n%footer%\n"},
        "AD",
        replace(SHOP, profile=replace(PROFILE, language=Language.EN)),
    ),
    "a sole trader": (
        {"text": NEWS + "%footer%"},
        "AD",
        replace(SHOP, legal_name="山吹 太郎", profile=replace(PROFILE, individual=True)),
    ),
    "receipt": ({"subject": "ご注文ありがとうございます(注文番号 {{order}})", "text": RECEIPT}, "TX", SHOP),
    "password reset": (
        {"subject": "パスワード再設定のご案内", "text": "下記のURLから24時間以内にお手続きください。\nhttps://yamabuki.co.jp/reset?t={{token}}\n"},
        "TX",
        SHOP,
    ),
    "shipping notice that names the sale it was bought in": (
        {"subject": "商品発送のお知らせ", "text": RECEIPT + "夏のセールでご注文の商品です。配送状況 https://yamabuki.co.jp/track\n"},
        "TX",
        SHOP,
    ),
    "receipt with an incidental advertisement: the name is enough": ({"text": RECEIPT + NAME}, "TX_AD", SHOP),
    "the mail that asks for consent": (
        {"subject": "メールマガジン登録のご確認", "text": "登録を完了するには下記を開いてください。\nhttps://yamabuki.co.jp/c/{{token}}\n%footer%\n"},
        "CONFIRM",
        SHOP,
    ),
    "raw, with an opt-out of its own": (
        raw(NEWS.replace("{{name}}", "山田") + f"配信停止はこちら https://yamabuki.co.jp/stop?id=7\n{NAME}\n{ADDRESS}\n電話 075-123-4567\n"),
        "AD",
        SHOP,
    ),
    "raw in Shift_JIS": (
        raw(f"配信停止はこちら https://yamabuki.co.jp/stop?id=7\n{NAME}\n{ADDRESS}\n075-123-4567\n", charset="shift_jis"),
        "AD",
        SHOP,
    ),
}  # fmt: skip

NO_CONTACT = f"配信の停止は次のページからお手続きいただけます。\n%cancelurl%\n\n送信者 {NAME}\n住所 {ADDRESS}\n"
FAULTY: dict[str, tuple[dict[str, object], str, object, str]] = {
    "brand in place of the name": ({"text": NEWS + FOOT.replace(NAME, "やまぶき堂")}, "AD", SHOP, "D01"),
    "name in one part only": ({"text": NEWS + FOOT, "html": HTML_NEWS % HTML_FOOT.replace(NAME, "やまぶき堂")}, "AD", SHOP, "D01"),
    "no opt-out": ({"text": NEWS + f"送信者 {NAME}\n住所 {ADDRESS}\nTEL 075-123-4567\n"}, "AD", SHOP, "D02"),
    "opt-out at a stranger's": (
        {"text": NEWS + FOOT.replace("%cancelurl%", "https://mail-service.example/stop?u={{name}}")}, "AD", SHOP, "D02",
    ),
    "a bare link": (
        {"text": NEWS + f"%cancelurl%\n\n\n送信者 {NAME}\n住所 {ADDRESS}\nTEL 075-123-4567\n"}, "AD", SHOP, "D03",
    ),
    "the statement far from the link": (
        {"text": "配信停止は末尾のURLからお手続きいただけます。\n" + NEWS + f"%cancelurl%\n送信者 {NAME}\n{ADDRESS}\nTEL 075-123-4567\n"}, "AD", SHOP, "D03",
    ),
    "no contact": ({"text": NEWS + NO_CONTACT}, "AD", SHOP, "D04"),
    "another address than the registered one": (
        {"text": NEWS + FOOT.replace(ADDRESS, "〒530-0001 大阪市北区梅田1-1-1")}, "AD", SHOP, "D04",
    ),
    "the name in a picture": (
        {"html": HTML_NEWS % HTML_FOOT.replace(NAME, f'<img src="https://yamabuki.co.jp/n.png" alt="{NAME}">')}, "AD", SHOP, "D05",
    ),
    "the opt-out in a picture": (
        {"html": HTML_NEWS % HTML_FOOT.replace(">こちら<", '><img src="https://yamabuki.co.jp/s.png" alt="配信停止はこちら"><').replace("配信停止は<a", "<a")}, "AD", SHOP, "D05",
    ),
    "a hidden footer": ({"html": HTML_NEWS % f'<div style="display:none">{HTML_FOOT}</div>'}, "AD", SHOP, "D06"),
    "white on white": ({"html": HTML_NEWS % f'<div style="color:#fff">{HTML_FOOT.replace("<a ", "<a style=color:#fefefe ")}</div>'}, "AD", SHOP, "D06"),
    "screens of nothing before it": ({"text": NEWS + "\n" * 200 + FOOT}, "AD", SHOP, "D06"),
    "a trade name as legal name": ({"text": NEWS + "%footer%"}, "AD", replace(SHOP, legal_name="やまぶき堂"), "D08"),
    "the other seller is not named": (
        {"text": NEWS + FOOT + "販売業者のメールアドレス cha@chanoki.jp\n特定商取引法に基づく表示 https://chanoki.jp/law\nhttps://chanoki.jp/stop\n"},
        "AD_MO",
        replace(SHOP, profile=replace(ORDERING, mail_order=MailOrder("株式会社茶の木", "cha@chanoki.jp", "https://chanoki.jp/stop", "https://chanoki.jp/law"))),
        "D09",
    ),
    "mail order without its items": ({"text": NEWS + FOOT + "info@yamabuki.co.jp\n"}, "AD_MO", ORDER_SHOP, "D10"),
    "mail order without the seller's mail address": (
        {"text": NEWS + FOOT + "特定商取引法に基づく表示 https://yamabuki.co.jp/tokusho\n"}, "AD_MO", ORDER_SHOP, "D10",
    ),
    "a merge field of another system": ({"text": "[[NAME]] 様\n" + NEWS + FOOT}, "AD", SHOP, "D11"),
    "a link to nowhere": ({"html": HTML_NEWS % ('<a href="#">詳しくはこちら</a>' + HTML_FOOT)}, "AD", SHOP, "D11"),
    "an example's host": ({"text": "https://www.example.com/campaign\n" + NEWS + FOOT}, "AD", SHOP, "D11"),
    "a reply that is none": ({"subject": "Re: 先日の件", "text": NEWS + FOOT}, "AD", SHOP, "D13"),
    "an address as display name": ({"text": NEWS + FOOT}, "AD", replace(SHOP, from_display="shop@yamabuki.co.jp"), "D13"),
    "TX with a sale in its subject": ({"subject": "今だけ半額", "text": RECEIPT}, "TX", SHOP, "D14"),
    "the mail that asks for consent, and sells": (
        {"subject": "メールマガジン登録のご確認", "text": "今だけ半額セール実施中。登録はこちら https://yamabuki.co.jp/c/{{token}}\n%footer%\n"},
        "CONFIRM",
        SHOP,
        "D14",
    ),
    "TX that advertises": ({"text": RECEIPT + "次回使える10%OFFクーポンをプレゼント中。期間限定セールもお見逃しなく。\n"}, "TX", SHOP, "D14"),
}  # fmt: skip


@pytest.mark.parametrize("name", LAWFUL)
def test_what_is_in_order_has_no_findings(name: str) -> None:
    message, category, sender = LAWFUL[name]
    assert [finding.one_line() for finding in findings(message, category, sender)] == []


@pytest.mark.parametrize("name", FAULTY)
def test_what_is_not_fails_for_its_reason_and_no_other(name: str) -> None:
    message, category, sender, rule = FAULTY[name]
    found = findings(message, category, sender)
    assert {finding.rule for finding in found} == {rule}, [finding.one_line() for finding in found]
    assert all(finding.severity == "block" and finding.ja and finding.en for finding in found)


PHRASES = {
    "配信停止はこちら": [], "配信停止手続はこちらから": [], "受信拒否はこちら": [], "退会手続き": [],
    "配信をご希望でない方は": [], "今後メールが不要な方は": [], "購読解除": ["d03"], "配信解除": ["d03"],
    "登録解除": ["d03"], "メルマガ解除": ["d03"], "Unsubscribe": ["d03"], "To opt out, click here": [],
    "If you no longer wish to receive our e-mails, visit": [], "詳細": ["D03"], "次のURLからリストから外れることができます": [],
    "オプトアウト": ["d03"], "オプトアウトのお申し出は": [],
}  # fmt: skip


@pytest.mark.parametrize("phrase", PHRASES)
@pytest.mark.parametrize("kind", ["text", "html"])
def test_phrases_beside_the_link(phrase: str, kind: str) -> None:
    """A bare "購読解除" names the act and not that it can be done there: told, not refused."""
    who = f"{NAME}\n{ADDRESS}\n075-123-4567\n"
    if kind == "text":
        message = {"text": f"{NEWS}{phrase}\n%cancelurl%\n{who}"}
    else:
        message = {"html": f'<p>新茶</p><p><a href="%cancelurl%">{phrase}</a></p><p>{who}</p>'}
    assert rules(message) == PHRASES[phrase]


def test_opting_out_by_reply() -> None:
    body = f"このメールに「配信停止」と返信してください。\n{NEWS}\n{NAME}\n{ADDRESS}\nnews@yamabuki.co.jp\n".replace(
        "{{name}}", "山田"
    )
    assert rules(raw(body)) == ["D04"], "no contact is there; the statement may stand anywhere"
    assert rules(raw(body.replace("news@", "other@"))) == ["D02", "D04"], "not the address that it came from"
    near = f"{NEWS}{NAME}\n{ADDRESS}\n配信停止をご希望の方は news@yamabuki.co.jp までご連絡ください。\n".replace(
        "{{name}}", "山田"
    )
    assert rules(raw(near)) == ["D04"], "of the contacts that are registered none stands there"
    assert rules(raw(near + "075-123-4567\n")) == []


def test_without_a_profile_anything_of_the_right_form_will_do() -> None:
    sender = replace(SHOP, profile=None)
    assert rules({"text": NEWS + FOOT.replace("075-123-4567", "06-1111-2222")}, sender=sender) == []
    assert rules({"text": NEWS + FOOT.replace(ADDRESS, "本店")}, sender=sender) == ["D04"]
    assert rules({"text": NEWS + NO_CONTACT.replace("住所 ", "")}, sender=sender) == ["D04"]
    assert rules({"text": NEWS + NO_CONTACT + "サポート help@yamabuki.co.jp\n"}, sender=sender) == []
    empty = replace(SHOP, profile=Profile(ADDRESS, contact_mail="info@yamabuki.co.jp"))
    assert rules({"text": NEWS + NO_CONTACT + "info@yamabuki.co.jp\n"}, sender=empty) == []
