"""What a reader sees of HTML and text: lines, links, and everything that hides text."""

from __future__ import annotations

import email
import email.policy
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lint_samples import HTML_FOOT, SHOP, raw, rules

from engine.lint import sample
from engine.lint.markup import text_of, tokens
from engine.lint.screen import MOST_DEEP, html_screen, text_screen
from engine.lint.style import MOST_RULES, Look, contrast, declarations, look_of, read_colour, read_sheet
from engine.lint.words import digits, fold
from engine.mail.message import decode_message
from engine.mail.template import compile_message

SHOWN = "特別なお知らせ"


def seen(html: str) -> str:
    return "\n".join(line.text for line in html_screen(html).lines)


def hidden(html: str) -> list[tuple[str, str]]:
    return [(unseen.rule, unseen.text.strip()) for unseen in html_screen(html).unseen]


@pytest.mark.parametrize(
    "style",
    [
        "display:none", "DISPLAY : NONE !important", "visibility:hidden", "visibility: collapse", "opacity:0.2",
        "opacity:10%", "font-size:1px", "font-size:0", "font-size:5pt", "font-size:0.1em", "font-size: 20%",
        "height:0;overflow:hidden", "max-height:0", "width:1px;overflow:hidden", "max-width:0", "text-indent:-9999px",
        "position:absolute;left:-9999px", "position:absolute;top:-100em", "position:absolute;clip:rect(0 0 0 0)",
        "clip-path:inset(50%)", "mso-hide:all", "color:#fff", "color:white", "color:rgb(250, 250, 250)",
        "color:#eee;background:#fff", "color:#000;background-color:#111", "color:transparent", "color:rgba(0,0,0,0.1)",
    ],
)  # fmt: skip
def test_style_that_hides(style: str) -> None:
    html = f'<p>A</p><div style="{style}"><b>{SHOWN}</b></div><p>B</p>'
    assert seen(html) == "A\nB"
    assert hidden(html) == [("D06", SHOWN)]
    sheet = f"<style>p{{margin:0}} .x, h6 {{ {style} }} @media print {{ p {{display:none}} }}</style>"
    by_class = f'{sheet}<p>A</p><div class="y X">{SHOWN}</div><p>B</p>'
    assert (seen(by_class), hidden(by_class)) == ("A\nB", [("D06", SHOWN)])


@pytest.mark.parametrize(
    "style",
    [
        "", "display:block", "visibility:visible", "opacity:1", "opacity:x", "font-size:12px", "font-size:small",
        "font-size:80%", "font-size:0.8em", "font-size:2vw", "height:0", "height:40px;overflow:hidden", "color:#777",
        "color:#fff;background:#333", "color:#fff;background:url(x.png)", "color:white;background:linear-gradient(red,blue)",
        "color:inherit", "background:none", "background:transparent", "text-indent:1em", "position:absolute;left:10px",
        "left:-9999px", "nonsense", ":::;;;", "clip:rect(0 0 0 0)", "color:#fff;background-color:rgba(0,0,0,.9)",
    ],
)  # fmt: skip
def test_style_that_does_not_hide(style: str) -> None:
    if "rgba(0,0,0,.9)" in style:
        assert read_colour("rgba(0,0,0,.9)") == (0, 0, 0)
    html = f'<p>A</p><div style="{style}">{SHOWN}</div>'
    assert seen(html) == f"A\n{SHOWN}"


@pytest.mark.parametrize(
    ("html", "visible", "unseen"),
    [
        ("<p hidden>x</p>y", "y", [("D06", "x")]),
        ("<!-- x -->y", "y", [("D05", "x")]),
        ("<title>x</title>y", "y", [("D05", "x")]),
        ("<script>x</script><style>x</style>y", "y", []),
        ('<img alt="x" title="t">y', "y", [("D05", "x"), ("D05", "t")]),
        ('<table bgcolor="#000"><td>a<td>b</table>', "", [("D06", "a"), ("D06", "b")]),
        ('<table bgcolor=black><tr><td style="color:#fff">a</td><td style="color:#fff">b</td></tr></table>', "a b", []),
        ('<font color="white">x</font>y', "y", [("D06", "x")]),
        ('<body background="x.png"><p style="color:#fff">x</p>', "x", []),
        ('<style>#i{display:none} p.c{opacity:0} b.q{x:y}</style><p id=I>x<p class="C">y<p class=q>z', "z", [("D06", "x"), ("D06", "y")]),
        ("<p style='display:none'>x<p>y", "y", [("D06", "x")]),
        ("<div style='display:none'><p>x</div>y", "y", [("D06", "x")]),
        ("</p></div>x<br><br>y<hr>z", "x\ny\nz", []),
        ("a &amp; b&nbsp;c &#x41;&#65;", "a & b c AA", []),
        ("<p>a\n  b <b>c</b>\n d</p>", "a b c d", []),
        ("a < b <3 c <> d", "a < b <3 c <> d", []),
        ("a <b unclosed", "a <b unclosed", []),
        ("<style>a{display:none", "", []),
        ("<!DOCTYPE html><?xml x?><![CDATA[x]]>y", "y", [("D05", "DOCTYPE html"), ("D05", "xml x?"), ("D05", "[CDATA[x]]")]),
        ("<a href='x>y</a> <b>z</b>", "y z", []),
    ],
)  # fmt: skip
def test_what_is_seen(html: str, visible: str, unseen: list[tuple[str, str]]) -> None:
    found = [(rule, text.lstrip("!?")) for rule, text in hidden(html)]
    assert (seen(html), found) == (visible, unseen)


def test_links_know_their_text_their_line_and_whether_they_are_seen() -> None:
    html = (
        '<p>first</p>\n<p>stop <a href="https://a.jp/?x=1&amp;y=2">here <b>now</b></a></p>'
        '\n<p><a href="https://b.jp" style="display:none">gone</a><a href=" # ">top</a><a name="x">anchor</a>'
        '<a href="https://c.jp"><img src="i.png" alt="picture"></a></p><p>see https://d.jp/x。mail to a@d.jp</p>'
    )
    screen = html_screen(html)
    found = [(link.target, link.text, link.line, link.number, bool(link.hidden), link.alt) for link in screen.links]
    assert found == [
        ("https://a.jp/?x=1&y=2", "here now", 1, 2, False, ""),
        ("https://b.jp", "", 2, 3, True, ""),
        ("#", "top", 2, 3, False, ""),
        ("https://c.jp", "", 2, 3, False, "picture"),
        ("https://d.jp/x", "https://d.jp/x", 3, 3, False, ""),
        ("mailto:a@d.jp", "a@d.jp", 3, 3, False, ""),
    ]


def test_positions_are_found_over_line_breaks() -> None:
    screen = text_screen("前文\n\n\n株式会社\n れい\n後")
    assert (screen.line_of("株式会社れい"), screen.number(1), screen.lines[1].gap) == (1, 4, 2)
    assert (screen.line_of("ない"), screen.number(9)) == (-1, 0)
    assert 0 < screen.share(1) < 0.5
    assert text_screen("").share(0) == 0.0
    assert screen.around(0) == "前文\n株式会社\n れい"


def test_folding_and_phone_numbers() -> None:
    assert fold("東京都　千代田区１－２－３ Ａ") == fold("東京都千代田区1‐2−3a")
    assert digits("+81-3-1234-5678") == digits("０３（１２３４）５６７８") == "0312345678"
    assert digits("+1 212 555 0100") == "12125550100"


def test_colours_and_contrast() -> None:
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert read_colour("1px solid #ABC") == (170, 187, 204)
    assert read_colour("rgb(300,0,0)") == (255, 0, 0)
    assert read_colour("no-such-colour") is None
    assert declarations("a:b;c") == {"a": "b"}
    assert look_of(Look(), {}) == Look()
    many: dict[str, dict[str, str]] = {}
    read_sheet("".join(f".c{number}{{a:b}}" for number in range(MOST_RULES + 9)), many)
    assert len(many) == MOST_RULES
    (token,) = tokens("<p " + " ".join(f"a{number}=1" for number in range(99)) + ">")
    assert len(token.attributes) == 60
    sheet: dict[str, dict[str, str]] = {}
    read_sheet("a{b:c}}}x{y:z", sheet)
    assert sheet == {"a": {"b": "c"}, "x": {"y": "z"}}


def test_nesting_has_an_end() -> None:
    screen = html_screen("<div>" * (MOST_DEEP + 10) + "x")
    assert screen.is_too_deep
    assert not html_screen("<p>" * 1000 + "x").is_too_deep
    assert rules({"html": "<div>" * 300 + "</div>" * 300 + HTML_FOOT}) == ["D06"]


def test_numbers_that_are_no_character_do_not_stop_the_reading() -> None:
    assert text_of("&#" + "9" * 5000 + ";x&#x110000;") == "\ufffdx\ufffd"


@given(st.text(alphabet="<>/!-?=\"' abpd&#;:{}\n株", max_size=200))
def test_nothing_is_lost_and_nothing_raises(html: str) -> None:
    html_screen(html)
    starts = [token.at for token in tokens(html)]
    assert starts == sorted(starts)


HOSTILE = {
    "unclosed comments": "<!--a>" * 170_000,
    "tags in tags": "<a" * 500_000,
    "unclosed quotes": '<a x="' * 170_000,
    "quotes of both kinds": "<a b='\"" * 140_000 + ">",
    "an endless number": "&#" + "9" * 1_000_000,
    "open angles": "<" * 1_000_000,
    "attributes": "<a " + "x= " * 330_000 + ">",
    "one style": "<p style='" + "a:b;" * 250_000 + "'>x",
    "braces": "<style>" + "a{" * 500_000,
    "unclosed titles": "<title>" * 140_000,
    "deep": "<div>" * 200_000,
    "ends without begin": "</p>" * 250_000,
    "local parts": "a-" * 500_000,
    "half addresses": "a@" * 500_000,
    "acts": "配信" * 300_000,
    "provinces": "東京都市" * 250_000,
    "brackets": "[[" * 500_000,
    "per cent": "%a" * 500_000,
    "links": "<a href='https://yamabuki.co.jp/配信停止'>停止<br>" * 20_000,
    "blank": "\n" * 1_000_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_megabyte_takes_no_more_than_seconds(name: str) -> None:
    """Process time, with an order of magnitude between what it takes and what it may: only a square would fail."""
    began = time.process_time()
    html_screen(HOSTILE[name])
    text_screen(HOSTILE[name])
    assert time.process_time() - began < 15


def test_the_sample_is_the_mail_as_a_reader_gets_it() -> None:
    spec = decode_message({"subject": "{{name}}", "text": ".dot {{name}}\n..two\n%cancelurl%"})
    octets = sample(compile_message(spec, SHOP), SHOP)
    parsed = email.message_from_bytes(octets, policy=email.policy.default)
    assert parsed["Subject"] == "sample"
    assert parsed.get_payload(decode=True).startswith(b".dot sample\r\n..two\r\nhttps://yamabuki.co.jp/u/000")
    assert b"DKIM-Signature" not in octets
    dotted = raw(".dot\n配信停止はこちら https://yamabuki.co.jp/s?i=1\n")
    assert b"\r\n\r\n.dot\r\n" in sample(compile_message(decode_message(dotted), SHOP), SHOP)
    assert rules(dotted, "TX") == []
