"""A Unix socket's place in the file system: made with the right modes, taken over when stale, never stolen.

The folder is 0750 and the socket 0660 before anybody can connect. A socket file that nobody listens on (left by a
kill -9) is replaced; one that answers is somebody else's, and we refuse to start.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
from pathlib import Path

PATH_LIMIT = 107
"""sun_path of unix(7), less its NUL."""
BACKLOG = 128
SO_PEERGROUPS = 59


class SocketError(Exception):
    """One line for the operator: what, where, and the remedy."""


def bind_socket(path: Path, group: int | None) -> tuple[socket.socket, int]:
    """A listening socket and its inode. Raises SocketError."""
    if len(os.fsencode(path)) > PATH_LIMIT:
        raise SocketError(f"socket path {path} is over {PATH_LIMIT} bytes: choose a shorter one")
    try:
        _prepare_folder(path.parent, group)
        _clear_stale(path)
        return _bind(path, group)
    except PermissionError as error:
        raise SocketError(f"no permission for socket {path} ({error.strerror}): let our user own its folder") from None
    except OSError as error:
        raise SocketError(f"cannot make socket {path}: {error.strerror}") from None


def unlink_own(path: Path, inode: int) -> None:
    """Removes the file if it is still the one that we made."""
    try:
        if path.lstat().st_ino == inode:
            path.unlink()
    except FileNotFoundError:
        return


def _prepare_folder(folder: Path, group: int | None) -> None:
    if not folder.exists():
        folder.mkdir(mode=0o750, parents=True)
        folder.chmod(0o750)
        if group is not None:
            os.chown(folder, -1, group)
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o027:
        raise SocketError(f"folder {folder} of the socket has mode {mode:04o}: chmod 0750 {folder}")


def _clear_stale(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise SocketError(f"{path} is there and is no socket: move it away or configure another path")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except TimeoutError:
            pass
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise
    raise SocketError(f"socket {path} is in use by a running process: stop that one or configure another path")


def _bind(path: Path, group: int | None) -> tuple[socket.socket, int]:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(0o117)
    try:
        listening.bind(os.fspath(path))
        if group is not None:
            os.chown(path, -1, group)
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    finally:
        os.umask(umask)
    return listening, path.lstat().st_ino


def peer_credentials(peer: socket.socket) -> tuple[int, frozenset[int]]:
    """User and all groups of the process that connected (unix(7) SO_PEERCRED, SO_PEERGROUPS)."""
    _pid, uid, gid = struct.unpack("iII", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    try:
        groups = peer.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, 1024)
    except OSError as error:
        if error.errno != errno.ERANGE:  # more than 256 groups: then only the primary one counts
            raise
        groups = b""
    return uid, frozenset([gid, *struct.unpack(f"{len(groups) // 4}I", groups)])
