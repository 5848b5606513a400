"""The servers that are measured: which packages each needs, its configuration files, how it is started in its cell.

The configurations are files in conf/ with @NAMES@ that are filled in here. A peer is a value; measure.py runs it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from bench.configuration import SELECTOR, SENDER_DOMAIN

CONFIGURATIONS = Path(__file__).with_name("conf")


@dataclass(frozen=True, slots=True)
class Peer:
    name: str
    title: str
    packages: tuple[str, ...]
    """Whose versions are reported; of npm when `node`, else Debian's."""
    files: tuple[tuple[str, str], ...]
    """File or folder in conf/, and where it goes in the run's folder (/bench in the cell)."""
    start: str
    """What /bin/sh does in the cell; it stays in the foreground."""
    durable: str
    """What a 250 to the one who hands mail over means."""
    milter: str = ""
    node: bool = False
    warm_up: int = 300
    """Messages before the measurement; JavaScript is compiled while it runs."""
    connections: int = 20
    """Of the sender: the better of 20 and 100 for each."""


_POSTFIX = """
mkdir -p /var/spool/postfix /var/lib/postfix
chown postfix /var/lib/postfix
cp /bench/main.cf /bench/master.cf /etc/postfix/
touch /bench/mail.log
chgrp postdrop /usr/sbin/postdrop /usr/sbin/postqueue 2>/dev/null
chmod g+s /usr/sbin/postdrop /usr/sbin/postqueue
{filter}
postfix post-install create-missing
postfix start-fg
"""
_POSTFIX_FILES = (("postfix/main.cf", "main.cf"), ("postfix/master.cf", "master.cf"))
_WAIT = "\ntries=0; while [ ! -S /bench/milter.sock ] && [ $tries -lt 300 ]; do sleep 0.1; tries=$((tries+1)); done"
_QUEUED = "queue file synced"

PEERS = (
    Peer(
        "postfix-opendkim",
        "Postfix + OpenDKIM",
        ("postfix", "opendkim"),
        (*_POSTFIX_FILES, ("opendkim.conf", "opendkim.conf")),
        _POSTFIX.format(filter="opendkim -f -x /bench/opendkim.conf &" + _WAIT),
        _QUEUED,
        milter="unix:/bench/milter.sock",
    ),
    Peer(
        "postfix-rspamd",
        "Postfix + rspamd",
        ("postfix", "rspamd"),
        (*_POSTFIX_FILES, ("rspamd/rspamd.conf", "rspamd.conf"), ("rspamd/rspamd.lua", "rspamd.lua")),
        _POSTFIX.format(filter="rspamd -f -i -c /bench/rspamd.conf >/bench/rspamd.out 2>&1 &" + _WAIT),
        _QUEUED,
        milter="unix:/bench/milter.sock",
    ),
    Peer(
        "exim",
        "Exim",
        ("exim4-daemon-light",),
        (("exim/exim4.conf", "exim4.conf"),),
        """
mkdir -p /var/spool/exim4 /etc/exim4
chown Debian-exim /var/spool/exim4 /bench /bench/dkim.pem
chmod u+s /usr/sbin/exim4
cp /bench/exim4.conf /etc/exim4/exim4.conf
exec /usr/sbin/exim4 -bdf -q1h
""",
        _QUEUED,
    ),
    Peer(
        "haraka",
        "Haraka",
        ("Haraka", "haraka-plugin-dkim", "node"),
        (("haraka/config", "config"), ("haraka/plugins", "plugins")),
        f"""
mkdir -p /var/spool/haraka "/bench/config/dkim/{SENDER_DOMAIN}"
cp -rn /node_modules/Haraka/config/. /bench/config/
ln -s /var/spool/haraka /bench/queue
ln -s /node_modules /bench/node_modules
cp /bench/dkim.pem "/bench/config/dkim/{SENDER_DOMAIN}/private"
printf %s "{SELECTOR}" > "/bench/config/dkim/{SENDER_DOMAIN}/selector"
exec node /node_modules/Haraka/bin/haraka -c /bench
""",
        _QUEUED,
        node=True,
        warm_up=2000,
        connections=100,
    ),
)


def lay_out(peer: Peer, run: Path, *, port: int, sink: int) -> None:
    """Writes configuration and start script to the run's folder, where dkim.pem is already."""
    values = {
        "@PORT@": str(port),
        "@SINK@": str(sink),
        "@DOMAIN@": SENDER_DOMAIN,
        "@SELECTOR@": SELECTOR,
        "@MILTER@": peer.milter,
        "@CORES@": str(len(os.sched_getaffinity(0))),
    }
    for source, target in peer.files:
        _fill(CONFIGURATIONS / source, run / target, values)
    (run / "start.sh").write_text(peer.start, "utf-8")


def _fill(source: Path, target: Path, values: dict[str, str]) -> None:
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        for part in sorted(source.iterdir()):
            _fill(part, target / part.name, values)
        return
    text = source.read_text("utf-8")
    for name, value in values.items():
        text = text.replace(name, value)
    target.write_text(text, "utf-8")
