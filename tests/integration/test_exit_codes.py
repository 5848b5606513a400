"""Names that nothing is known of: a clear line, exit code 2, and nothing was ordered."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.__main__ import main
from tests.integration.running import Running, engine, sink, terms

SHOP = ["--sender", "shop"]
UNKNOWN = [
    (["suspend", "--domain", "d.exmaple"], "unknown_domain"),
    (["bounce", "--domain", "d.exmaple", "--for", "1h"], "unknown_domain"),
    (["reroute", "--domain", "d.exmaple", "--to", "127.0.0.1:9"], "unknown_domain"),
    (["suspend", "--site", "127.0.0.1:1"], "unknown_site"),
    (["bounce", "--site", "127.0.0.1:1"], "unknown_site"),
    (["suspend", "--mailing", "slae"], "unknown_mailing"),
    (["bounce", *SHOP, "--mailing", "slae"], "unknown_mailing"),
    (["suspend", "--sender", "shpo"], "is not in the configuration; known are shop"),
    (["bounce", "--provider", "docmoo"], "provider"),
    (["suspend", "--source", "out9"], "source"),
    (["reroute", "--mailing", "sale", "--pool", "none"], "no such pool"),
    (["reroute", "--mailing", "sale", "--to", "nowhere:port"], "expected host:port"),
    (["resume", "99"], "no order 99 stands"),
    (["resume", "--sender", "shpo"], "is not in the configuration"),
    (["cancel", *SHOP, "--mailing", "slae"], "no mailing 'slae'"),
    (["cancel", "--sender", "shpo", "--mailing", "sale"], "sender 'shpo' is not configured"),
    (["cancel", *SHOP, "--mailing", "sale", "--address", "nobody@d.example"], "nobody waits there"),
    (["cancel", *SHOP, "--mailing", "sale", "--recipient", "0000000000000001"], "nobody waits there"),
    (["cancel", *SHOP, "--mailing", "sale", "--recipient", "1"], "recipient"),
    (["sender", "revoke", "shpo"], "is not in the configuration"),
    (["trace", "d.exmaple"], "neither a site nor a domain"),
    (["trace", "mx.nowhere.example:25"], "neither a site nor a domain"),
    (["status", "--mailing", "slae"], "no mailing 'slae'"),
    (["status", "--sender", "shpo"], "sender 'shpo' is not configured"),
    (["status", "--sender", "shpo", "--mailing", "sale", "--json"], "sender 'shpo' is not configured"),
    (["mailings", "--sender", "shpo"], "sender 'shpo' is not configured"),
]


def said(running: Running, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main([*arguments, "--socket", running.socket])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_name_that_nothing_is_known_of_is_a_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with sink(tmp_path) as receiver, engine(
        tmp_path, {"d.example": f"127.0.0.1:{receiver.ports[0]}"}, more="[resolver]\nmx = false\n"
    ) as running, running.client() as client:  # fmt: skip
        client.submit(["a@d.example"], terms("sale"))
        running.settled()
        for arguments, words in UNKNOWN:
            code, out, err = said(running, arguments, capsys)
            assert code == 2, (arguments, code, out, err)
            assert words in err, (arguments, err)
            assert len(err.splitlines()) == 1, err
        assert client.status()["engine"]["directives"] == []
        for arguments in (
            ["suspend", "--domain", "d.exmaple", "--anyway"],
            ["suspend", "--domain", "d.example"],
            ["suspend", "--site", f"127.0.0.1:{receiver.ports[0]}"],
            ["suspend", "--mailing", "sale"],
            ["cancel", *SHOP, "--mailing", "later", "--anyway"],
            ["resume", "2"],
        ):
            code, _, err = said(running, arguments, capsys)
            assert (code, err) == (0, ""), arguments
        assert said(running, ["resume", "--domain", "other.example"], capsys)[0] == 1, "there was nothing to resume"
        assert said(running, ["resume", "--all"], capsys)[0] == 0
        assert running.stop() == 0
        assert said(running, ["suspend", "--mailing", "sale"], capsys)[0] == 3, "nobody answers"


def test_behind_a_relay_a_domain_is_known_by_what_waits_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with engine(tmp_path, {"*": "127.0.0.1:9"}) as running, running.client() as client:
        client.submit(["a@d.example"], terms("sale"))
        running.until(lambda: bool(running.status()["sites"]), "tried")
        assert said(running, ["suspend", "--domain", "d.exmaple"], capsys)[0] == 2
        assert said(running, ["suspend", "--domain", "d.example"], capsys)[0] == 0
