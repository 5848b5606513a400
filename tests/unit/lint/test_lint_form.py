"""Parts, charsets, header fields, sizes, positions, regions: the rules about form, and which category has which."""

from __future__ import annotations

from dataclasses import replace

import pytest
from lint_samples import ADDRESS, FOOT, HTML_FOOT, NAME, PROFILE, SHOP, findings, raw, rules

from engine.lint import check, octets_of, opt_out_links, rule_texts
from engine.lint.facts import Facts, host_of
from engine.lint.finding import MOST_FINDINGS, RULES
from engine.lint.form import form_findings
from engine.lint.parts import take_apart
from engine.mail.message import decode_message
from engine.mail.profile import MailOrder
from engine.mail.template import compile_message

BODY = "新緑の季節となりました。皆様いかがお過ごしでしょうか。\n" * 30
OWN = f"配信停止はこちら https://yamabuki.co.jp/stop?i=7\n{NAME}\n{ADDRESS}\n075-123-4567\n"


def multipart(*parts: tuple[str, str, bytes], kind: str = "mixed", header: str = "") -> dict[str, object]:
    """(type with charset, further fields, body)."""
    lines = [f"From: news@yamabuki.co.jp\r\nSubject: x\r\n{header}MIME-Version: 1.0\r\n".encode()]
    lines.append(f'Content-Type: multipart/{kind}; boundary="b"\r\n\r\n'.encode())
    lines += [
        f"--b\r\nContent-Type: {what}\r\n{more}\r\n".encode() + body.replace(b"\n", b"\r\n") + b"\r\n"
        for what, more, body in parts
    ]
    return {"raw": b"".join([*lines, b"--b--\r\n"])}


@pytest.mark.parametrize("category", ["TX_AD", "OTHER_AD", "FREE_AD"])
def test_incidental_advertising_owes_the_name_alone(category: str) -> None:
    assert rules({"text": BODY}, category) == ["D01"]
    assert rules({"text": BODY + NAME}, category) == []
    assert rules({"text": BODY[:600] + NAME + BODY[600:]}, category) == []


@pytest.mark.parametrize("category", ["TX", "NP"])
def test_what_is_no_advertising_owes_nothing(category: str) -> None:
    assert rules({"text": BODY}, category, replace(SHOP, legal_name="x", profile=None, unsubscribe_url="")) == []


def test_position_and_repetition() -> None:
    assert rules({"text": BODY + FOOT + BODY}) == ["d07"]
    assert rules({"text": "短い。\n" + FOOT + "短い。\n"}) == []


def test_the_address_must_stand_in_the_mail_for_some_countries() -> None:
    linked = f"配信停止はこちら\n%cancelurl%\n{NAME}\n会社概要・お問い合わせ https://yamabuki.co.jp/about\n"
    assert rules({"text": linked}) == []
    assert rules({"text": linked}, regions=("US",)) == ["D15"]
    assert rules({"text": FOOT}, regions=("CA", "US")) == []


def test_items_in_another_charset_than_the_text_do_not_count() -> None:
    utf8, jis = "text/plain; charset=utf-8", "text/plain; charset=iso-2022-jp"
    assert rules(multipart((utf8, "", BODY[:200].encode()), (utf8, "", OWN.encode()))) == []
    assert rules(multipart((utf8, "", BODY[:200].encode()), (jis, "", OWN.encode("iso2022_jp")))) == [
        "D02",
        "D04",
        "D05",
    ]
    attached = "Content-Disposition: attachment; filename=a.txt\r\n"
    assert rules(multipart((utf8, "", BODY[:200].encode()), (utf8, attached, OWN.encode()))) == ["D02", "D04", "D05"]
    assert (
        rules(multipart((utf8, "", OWN.encode()), ("application/pdf", attached, b"%PDF"), (utf8, attached, b""))) == []
    )


@pytest.mark.parametrize("charset", ["utf-7", "x-unknown", "hex", "punycode", "utf-8"])
def test_a_charset_that_cannot_be_read_is_told(charset: str) -> None:
    message = {"raw": raw(OWN)["raw"].replace(b"charset=utf-8", f"charset={charset}".encode()) + b"\xff\xfe\r\n"}
    assert rules(message) == ["D16"]
    assert rules(message, "TX") == ["D16"]


@pytest.mark.parametrize("parameter", ["charset*=utf-8''utf-8", "charset*=utf-8''%ff", 'charset=""', "x=y"])
def test_odd_charset_parameters_never_raise(parameter: str) -> None:
    message = {"raw": raw(OWN)["raw"].replace(b"charset=utf-8", parameter.encode())}
    assert set(rules(message)) <= {"D16", "D01", "D02", "D04"}


def test_parts_nested_too_deep_are_not_guessed_at() -> None:
    body = "".join(f'Content-Type: multipart/mixed; boundary="b{n}"\r\n\r\n--b{n}\r\n' for n in range(2000))
    found = findings({"raw": f"From: news@yamabuki.co.jp\r\nMIME-Version: 1.0\r\n{body}".encode()}, "TX")
    assert {finding.rule for finding in found} <= {"D16"}
    many = multipart(*[("text/plain", "", b"x")] * 600)
    assert rules(many, "TX") == []
    assert take_apart(b"no mail").faults


def test_one_click_needs_both_fields() -> None:
    assert rules(
        {"text": FOOT.replace("%cancelurl%", "https://yamabuki.co.jp/s?{{a}}")},
        sender=replace(SHOP, unsubscribe_url=""),
    ) == ["D12"]
    own = "List-Unsubscribe: <mailto:stop@yamabuki.co.jp>\r\n"
    assert rules(raw(OWN, header=own)) == ["D12"]
    both = "List-Unsubscribe: <https://yamabuki.co.jp/s?i=1>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    assert rules(raw(OWN, header=both)) == []


def test_an_opt_out_that_knows_nobody() -> None:
    assert rules({"text": FOOT.replace("%cancelurl%", "https://yamabuki.co.jp/stop")}) == ["d02"]
    assert rules({"text": FOOT.replace("%cancelurl%", "https://yamabuki.co.jp/stop?m={{mail}}")}) == []
    assert rules({"text": FOOT.replace("%cancelurl%", "stop@yamabuki.co.jp")}) == []


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Subject: Re: x\r\n", ["D13"]),
        ("Subject: =?utf-8?b?UmU6IHg=?=\r\n", ["D13"]),
        ("Subject: =?utf-8?b?!!!?= =?x?q?=3d?=\r\n", []),
        ("Subject: =?utf-8?b?a?=\r\n", []),
        ("Subject: a =? b\r\n", []),
        ("Subject: Fwd: x\r\nIn-Reply-To: <a@b>\r\n", []),
        ("Subject: {{name}}\r\n", ["D11"]),
    ],
)
def test_subjects(header: str, expected: list[str]) -> None:
    message = raw(OWN)["raw"].replace(b"Subject: test\r\n", header.encode())
    assert rules({"raw": message}) == expected


def test_a_reply_in_a_category_that_is_no_advertising_is_told_only() -> None:
    assert rules({"subject": "Fw: x", "text": BODY}, "TX") == ["d13"]


def test_a_pictogram_in_the_name() -> None:
    assert rules({"text": FOOT}, sender=replace(SHOP, from_display="✅ やまぶき堂")) == ["d13"]


def test_sizes() -> None:
    assert rules({"text": "x" * 900_000 + "\n" + FOOT}) == []
    large = compile_message(decode_message({"subject": "s", "text": ("漢" * 300 + "\n") * 1000 + FOOT}), SHOP)
    octets = octets_of(large, SHOP)
    assert 1_200_000 < octets < 1_300_000
    assert check(large, SHOP, "AD") == [], "who takes how much is data"
    sizes = {"softbank": 1_000_000, "au": 3_000_000, "tiny": octets - 1, "exact": octets}
    (told,) = check(large, SHOP, "AD", sizes=sizes)
    assert (told.rule, told.severity) == ("D16", "warn")
    assert f"has {octets} octets, more than some receivers take (softbank: 1000000, tiny: {octets - 1})" in told.en
    assert f"全体で{octets}バイト" in told.ja
    header = "".join(f"X-Long-{number}: {'x' * 900}\r\n" for number in range(14))
    assert rules(raw(OWN, header=header)) == ["D16"]


def test_missing_fields_and_lines_are_told() -> None:
    sample = take_apart(b"From: a@b.jp\r\nSubject: s\r\n\r\n" + b"x" * 2000)
    assert sample.faults
    sample = take_apart(b"From: a@b.jp\r\nSubject: s\r\n\r\nx\r\n")
    sample.longest_line = 1200
    sample.header.append(("from", "b@b.jp"))
    told = [finding.en for finding in form_findings(Facts(sample, SHOP, "AD", "", is_raw=True))]
    assert told == [
        "2 fields from: there must be one",
        "0 fields date: there must be one",
        "0 fields message-id: there must be one",
        "a line has 1200 octets: fold to 998 at most",
    ]


def test_the_variant_is_looked_at_as_what_it_is_sent_as() -> None:
    message = {"text": BODY + NAME, "without_ad": {"text": BODY}}
    assert rules(message, "TX_AD") == []
    sale = {"text": BODY + NAME, "without_ad": {"text": "期間限定セール 今だけ半額"}}
    (finding,) = findings(sale, "TX_AD")
    assert (finding.rule, finding.part) == ("D14", "without_ad.text")


def test_findings_are_bounded_and_say_where_they_are() -> None:
    html = "".join(f"<a href=''>x{number}</a><br>" for number in range(1000)) + HTML_FOOT
    found = findings({"text": "[[x]]\n" * 100 + FOOT, "html": html})
    assert len(found) <= MOST_FINDINGS
    assert found[0].place == "text:1"
    fields = found[0].fields()
    assert (fields["rule"], fields["line"], fields["severity"], fields["article"]) == ("D11", 1, "block", "")
    assert found[0].one_line().startswith("D11 text:1: '[[x]]' was not replaced")
    long = findings({"text": "[[x]]" + "長い" * 100 + "\n" + FOOT})[0].excerpt
    assert (len(long), long[-1]) == (81, "…")


def test_hidden_address_and_link() -> None:
    hidden = f'<p style="display:none">{ADDRESS}</p>'
    shown = f'<p>配信停止は<a href="%cancelurl%">こちら</a></p><p>{NAME}<br>075-123-4567</p>'
    assert rules({"html": shown + hidden}) == ["D06"]
    commented = f"<!-- %cancelurl% --><p>{NAME}<br>{ADDRESS}<br>075-123-4567</p>"
    assert rules({"html": commented}) == ["D05"]


def test_mail_order_without_any_registered_mail() -> None:
    sender = replace(SHOP, profile=replace(PROFILE, contact_mail="", mail_order=None))
    items = "販売業者 当社 送料 500円 お支払い カード お届け 3日以内 返品 不可\n"
    assert rules({"text": FOOT + items}, "AD_MO", sender) == ["D10"]
    assert rules({"text": FOOT + items + "shop@yamabuki.co.jp\n"}, "AD_MO", sender) == []
    page = "特定商取引法に基づく表示 https://yamabuki.co.jp/t\nshop@yamabuki.co.jp\n"
    assert rules({"text": FOOT + page}, "AD_MO", sender) == []


def test_the_other_seller_s_opt_out() -> None:
    order = MailOrder("株式会社茶の木", "cha@chanoki.jp", "stop@chanoki.jp", "https://chanoki.jp/law")
    sender = replace(SHOP, profile=replace(PROFILE, mail_order=order))
    without = FOOT + "株式会社茶の木 cha@chanoki.jp https://chanoki.jp/law\n"
    assert rules({"text": without}, "AD_MO", sender) == ["D09"]
    assert rules({"text": without + "販売業者からの広告の停止 stop@chanoki.jp\n"}, "AD_MO", sender) == []


def test_hosts() -> None:
    assert host_of("https://A.jp:8080/x") == "a.jp"
    assert host_of("mailto:x@B.jp?subject=y") == "b.jp"
    assert host_of("x@c.jp") == "c.jp"
    assert host_of("https://[::1/") == ""


def test_every_rule_has_its_words() -> None:
    assert list(rule_texts()) == list(RULES) == [f"D{number:02}" for number in range(1, 17)]


def test_nothing_reaches_a_terminal_but_what_prints() -> None:
    for finding in findings(raw("[[\x1b]31mx]] \x1b[2J\n<p style=x>", kind="html")):
        assert all(text.isprintable() for text in (finding.ja, finding.en, finding.excerpt, finding.one_line()))


def test_the_links_that_serve_to_opt_out_are_told_with_their_place() -> None:
    both = {"subject": "s", "text": BODY + FOOT, "html": f"<p>{BODY}</p>{HTML_FOOT}"}
    found = opt_out_links(compile_message(decode_message(both), SHOP), SHOP, "AD")
    assert {part for part, _, _ in found} == {"text", "html"}
    assert all(line > 0 and target.startswith("https://") for _, line, target in found)
    assert opt_out_links(compile_message(decode_message({"subject": "s", "text": BODY}), SHOP), SHOP, "AD") == []


def test_a_link_to_a_campaign_is_enough_to_make_a_transaction_sell() -> None:
    """特定電子メール法 2条2号: a mail that leads to a site which advertises, too."""
    selling = replace(SHOP, profile=replace(PROFILE, campaign_hosts=("Sale.yamabuki.co.jp",)))
    text = f"ご注文ありがとうございます。\nhttps://www.sale.yamabuki.co.jp/spring\n{NAME}\n"
    (finding,) = findings({"text": text}, "TX", selling)
    assert (finding.rule, finding.severity) == ("D14", "block")
    assert "www.sale.yamabuki.co.jp" in finding.one_line()
    assert rules({"text": text}, "TX") == [], "another sender's profile names no such host"
    assert rules({"text": text.replace("sale.", "order.")}, "TX", selling) == []
