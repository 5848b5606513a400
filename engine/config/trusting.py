"""[tls] and the certificates of [routes]: each file is opened once here, so that a wrong one is found before the start.

A key that everybody may read is refused, and so is one behind a passphrase: a service has no terminal to ask at.
"""

from __future__ import annotations

import ssl
import stat
from dataclasses import replace
from pathlib import Path

from engine.config.settings import BOUNDS, RouteTable, Settings, TlsTable
from engine.net.resolver import ClientCertificate
from engine.tables import Problems, read_table, shown
from suppression.decision import Category


def read_tls(table: object, folder: Path, problems: Problems) -> TlsTable | None:
    given = read_table(TlsTable, table, "tls", problems, bounds=BOUNDS["tls"])
    if given is None or given.ca_file is None:
        return given
    file = folder / given.ca_file
    try:
        ssl.create_default_context(cafile=str(file))
    except OSError as error:
        problems.add("tls.ca_file", f"{shown(str(file))}: {_reason(error)}; name a PEM file of certificates")
        return None
    return replace(given, ca_file=file)


def read_client(place: RouteTable, folder: Path, where: str, problems: Problems) -> ClientCertificate | None:
    """The certificate that a route shows."""
    if place.client_certificate is None:
        if place.client_key is not None:
            problems.add(f"{where}.client_key", "needs client_certificate; add it")
        return None
    certificate = folder / place.client_certificate
    key = folder / place.client_key if place.client_key else certificate
    try:
        mode = stat.S_IMODE(key.stat().st_mode)
        if mode & 0o007:
            problems.add(where, f"{shown(str(key))}: can be read by everybody (mode {mode:04o}); chmod 0640")
            return None
        ssl.create_default_context().load_cert_chain(certificate, key, password=lambda: "")
    except OSError as error:
        text = "give a PEM certificate and its own key, unencrypted"
        problems.add(f"{where}.client_certificate", f"{shown(str(certificate))}: {_reason(error)}; {text}")
        return None
    return ClientCertificate(str(certificate), str(key))


def check_tls_reports(settings: Settings, problems: Problems) -> None:
    if settings.tlsrpt is None:
        return
    sender = settings.senders.get(settings.tlsrpt.sender)
    if sender is None:
        known = ", ".join(sorted(settings.senders))
        problems.add("tlsrpt.sender", f"no sender {settings.tlsrpt.sender[:80]!a}; known are {known}")
    elif Category.TX not in sender.categories:
        problems.add("tlsrpt.sender", f"{settings.tlsrpt.sender!a} may not send TX; add it to its categories")


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).lower().replace("_", " ")
    return error.strerror or str(error)
