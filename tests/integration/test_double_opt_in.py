"""From the form to the first advertisement, over the socket of a real engine, with a kill between the two halves."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path

from engine.__main__ import main
from tests.integration.running import engine, received, sink, terms

FORM = "<h1>れい商店だより</h1>広告宣伝メールを受け取ります".encode()


def test_a_sign_up_is_mailed_once_and_confirmed_once(tmp_path: Path, capsys) -> None:
    with sink(tmp_path) as receiver, engine(tmp_path, {"*": f"127.0.0.1:{receiver.ports[0]}"}) as running:
        now = int(time.time())
        with running.client() as client:
            shown = {
                "displayed_sender": "株式会社れい",
                "statement": "広告宣伝メール",
                "acquired_url": "https://a.example/",
            }
            put = {"sender": "shop", "kind": "web", "content": FORM, "shown_from": now - 100, **shown}
            form = client.call("put_form", put)["form"]
            ask = {"sender": "shop", "address": "taro@d.example", "at": now, "form": form, "ip": "192.0.2.1"}
            token = client.call("consent_request", ask)["token"]
            confirming = dataclasses.replace(terms("signup"), category="CONFIRM")
            submitted = client.submit(["taro@d.example", "stranger@d.example"], confirming, key="signup-1")
            assert (submitted.accepted, [one.code for one in submitted.refused]) == (1, ["no_signup"])
            assert client.submit(["taro@d.example"], confirming, key="signup-2").accepted == 0
            client.submit(["taro@d.example"], dataclasses.replace(terms("early"), category="AD"))
            running.settled()
        running.kill()
        running.start()
        with running.client() as client:
            assert client.submit(["taro@d.example", "stranger@d.example"], confirming, key="signup-1").repeated
            assert client.call("consent_confirm", {"token": token, "ip": "192.0.2.2"})["confirmed"] is True
            assert client.call("consent_confirm", {"token": token})["repeated"] is True
            assert client.call("consent_confirm", {"token": token[:-1]})["confirmed"] is False
            client.submit(["taro@d.example"], dataclasses.replace(terms("first"), category="AD"))
            running.settled()
        assert received(receiver) == {"taro@d.example": 2}
        words = ["--out", str(tmp_path / "out"), "--config", str(tmp_path / "sokutatsu.toml")]
        assert main(["evidence", "taro@d.example", *words]) == 0
        told = json.loads(Path(capsys.readouterr().out.split()[0]).read_text())
        assert sorted((send["type"], send["category"]) for send in told["sends"]) == [
            ("Delivery", "AD"),
            ("Delivery", "CONFIRM"),
            ("Suppressed", "AD"),
        ]
        assert [(one["basis"], bool(one.get("doi_clicked_at"))) for one in told["consents"]] == [
            ("ADDR_GIVEN", False),
            ("OPTIN_REC", True),
        ]
        assert [(one["sender"], bool(one["advertising"]), one["mail_order"]) for one in told["last_days"]] == [
            ("shop", True, "")
        ]
        assert running.stop() == 0
