"""Resolvers, trust, guards and preflight of a running engine changed by a reload: all of it or none, and mail follows."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from bench.processes import free_port
from bench.rig import running_sink
from engine.__main__ import main
from tests.integration.running import Running, engine, received, terms
from tests.integration.test_mx_routing import FAULTS, PLACES, ZONE, dns
from tests.integration.test_reload import rewrite


def reloaded(running: Running, *pairs: tuple[str, str]) -> list[str]:
    rewrite(running, *pairs)
    with running.client() as client:
        told = client.call("reload", {})
    assert told["errors"] == []
    assert "[socket]" in told["restart_only"]
    return list(told["changes"])


def test_mail_goes_by_another_resolver_and_routes_alone_and_back(tmp_path: Path) -> None:
    with running_sink(tmp_path, "sink", [], 300.0, places=PLACES) as receiver, dns(tmp_path, ZONE, FAULTS) as port:
        closed, right = free_port(), receiver.ports[0]
        table = f"""
[resolver]
servers = ["127.0.0.1:{closed}"]
port = {closed}
allow_networks = ["127.0.1.0/24"]
timeout = 0.3
deadline = 1
"""
        with engine(tmp_path, {}, more=table) as running, running.client() as client:
            client.submit([f"r{n}@one.example" for n in range(30)], terms("first"))
            running.until(lambda: bool(running.status()["unresolved"]), "that nobody answers")
            asked = (f"127.0.0.1:{closed}", f"127.0.0.1:{port}"), (f"port = {closed}", f"port = {right}")
            assert reloaded(running, *asked) == ["resolver changed"]
            assert running.settled()["delivered"] == 30
            changes = reloaded(
                running,
                ("[resolver]", "[resolver]\nmx = false"),
                ("[routes]", f'[routes]\n"own.example" = "127.0.1.1:{right}"'),
            )
            assert changes == ["routes changed", "resolver changed"]
            client.submit(["a@own.example", *(f"b{n}@one.example" for n in range(9))], terms("second"))
            running.until(lambda: running.status()["delivered"] == 31, "by its route")
            assert running.status()["delivered"] == 31
            assert reloaded(running, ("mx = false", "mx = true"), ("timeout = 0.3", "timeout = 0.4")) == [
                "resolver changed"
            ]
            assert running.settled()["delivered"] == 40
            assert set(received(receiver).values()) == {1}
            assert running.stop() == 0


def test_guards_and_preflight_change_and_what_is_wrong_changes_nothing(tmp_path: Path, capsys) -> None:
    with contextlib.ExitStack() as stack:
        # A DNS server that never answers: the preflight is not over while the test looks.
        silent = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        silent.bind(("127.0.0.1", 0))
        resolver = f'[resolver]\nservers = ["127.0.0.1"]\nport = {silent.getsockname()[1]}\n'
        running = stack.enter_context(engine(tmp_path, {"*": "127.0.0.1:9"}, more=resolver))
        client = stack.enter_context(running.client())
        file = tmp_path / "sokutatsu.toml"
        good = file.read_text("utf-8")
        wrong = """
[tls]
ca_file = "nowhere.pem"
[guard]
unknown_warn = 0.5
"""
        strict = good.replace('[preflight]\nmode = "off"', '[preflight]\nmode = "strict"')
        strict = strict.replace('servers = ["127.0.0.1"]', 'servers = ["ns.example.jp"]')
        assert strict != good
        file.write_text(strict + wrong, "utf-8")
        assert main(["reload", "--socket", running.socket]) == 2
        err = capsys.readouterr().err
        for word in ("resolver.servers", "tls.ca_file", "unknown_warn must be below", "mode 'strict'",
                     "nothing was changed", "only a restart changes [engine] (but"):  # fmt: skip
            assert word in err, (word, err)
        file.write_text(good, "utf-8")
        assert reloaded(running) == []
        enforced = good.replace('[preflight]\nmode = "off"', '[preflight]\nmode = "enforce"')
        file.write_text(enforced + "[guard]\nenabled = false\n[tls]\ndane = false\n", "utf-8")
        assert reloaded(running) == ["tls changed", "guard changed", "preflight changed"]
        held = client.status()["engine"]["directives"]
        assert [(one["verb"], one["by"]) for one in held] == [("suspend", "preflight")], "until it was looked at"
        file.write_text(good, "utf-8")
        assert main(["reload", "--socket", running.socket]) == 0
        assert "only a restart changes" in capsys.readouterr().out
        assert client.status()["engine"]["directives"] == []
        assert running.stop() == 0
