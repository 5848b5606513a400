"""What others say of a receiver's TLS policy: Postfix's posttls-finger on DANE, mta-sts-query on MTA-STS.

And the web server that MTA-STS policies are fetched from (RFC 8461 3.3), on port 443 of an address of loopback.
"""

from __future__ import annotations

import contextlib
import http.server
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.interop.peers.place import DEBS, resolving

MTA_STS_QUERY = DEBS / "sts" / "bin" / "mta-sts-query"


def finger(place: str, resolver: str, folder: Path) -> str:
    """The last word on a connection to "[host]:port" by DANE: Verified, Trusted, Untrusted, Anonymous, or a failure."""
    (folder / "main.cf").write_text("compatibility_level = 3.6\ninet_protocols = ipv4\n")
    command = ["posttls-finger", "-c", "-t", "10", "-T", "10", "-l", "dane", "-L", "summary", place]
    done = subprocess.run(
        resolving(resolver, folder, command),
        check=False,
        capture_output=True,
        timeout=60,
        env={**os.environ, "MAIL_CONFIG": str(folder)},
    )
    return (done.stdout + done.stderr).decode("utf-8", "replace")


def query(domain: str, resolver: str, folder: Path, authority: Path) -> str:
    done = subprocess.run(
        resolving(resolver, folder, [str(MTA_STS_QUERY), domain]),
        check=False,
        capture_output=True,
        timeout=60,
        env={**os.environ, "SSL_CERT_FILE": str(authority)},
    )
    return (done.stdout + done.stderr).decode("utf-8", "replace")


@contextlib.contextmanager
def policies(address: str, chain: Path, texts: Mapping[str, str]) -> Iterator[list[str]]:
    """Domain -> policy, without version and max_age. Yields the hosts that were asked, in order."""
    asked: list[str] = []

    class Answering(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host = self.headers["Host"].partition(":")[0]
            asked.append(host)
            text = texts.get(host.removeprefix("mta-sts."))
            if text is None or self.path != "/.well-known/mta-sts.txt":
                self.send_error(404)
                return
            body = f"version: STSv1\n{text}max_age: 86400\n".replace("\n", "\r\n").encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    with http.server.ThreadingHTTPServer((address, 443), Answering) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield asked
        finally:
            server.shutdown()
            thread.join(10)
