"""From [submission] to what the listener needs: the users read, the certificate loaded. The daemon's and `check`'s."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

from engine.config.settings import SubmissionTable
from engine.flow.submission import SubmissionSettings
from engine.flow.users import Users, UsersError, read_users
from engine.tables import parse_listen


class SubmissionUnusable(Exception):  # noqa: N818 - a start that cannot be, not a bug
    """A file of [submission] or [return_path] cannot be used; the text names it and the remedy."""


def open_submission(table: SubmissionTable, ehlo_name: str) -> tuple[SubmissionSettings, Users]:
    """Raises SubmissionUnusable."""
    host, port = parse_listen(table.listen)
    try:
        users = read_users(table.users)
    except UsersError as error:
        raise SubmissionUnusable(f"submission.users: {error}") from None
    settings = SubmissionSettings(
        host=host,
        port=port,
        hostname=table.hostname or ehlo_name,
        size_limit=table.size_limit,
        connections=table.connections,
        tls=load_certificate(table.certificate, table.key) if table.certificate and table.key else None,
        is_tls_implicit=table.implicit_tls,
        timeout=table.timeout,
    )
    return settings, users


def load_certificate(certificate: Path, key: Path, table: str = "submission") -> ssl.SSLContext:
    """Raises SubmissionUnusable. TLS 1.2 and later (RFC 8996)."""
    try:
        mode = stat.S_IMODE(key.stat().st_mode)
        if mode & 0o007:
            raise SubmissionUnusable(f"{table}.key {key} can be read by everybody (mode {mode:04o}); chmod 0640 {key}")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # A passphrase would be asked for at the terminal, which a service has not.
        context.load_cert_chain(certificate, key, password=_no_passphrase)
    except ssl.SSLError as error:
        reason = (error.reason or str(error)).lower().replace("_", " ")
        raise SubmissionUnusable(
            f"{table}.certificate {certificate} and key {key}: {reason}; "
            "give a PEM certificate and its own key, unencrypted"
        ) from None
    except OSError as error:
        raise SubmissionUnusable(
            f"{table}.certificate {certificate} or key {key}: {error.strerror}; correct the path or the owner"
        ) from None
    return context


def _no_passphrase() -> str:
    return ""
