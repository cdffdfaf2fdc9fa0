# SPDX-License-Identifier: Apache-2.0
"""Programs in pods: started in the pod's network namespace and cgroup, with the pod's own resolv.conf.

A process also gets a mount namespace of its own, so that its ``/etc/resolv.conf`` can name the cluster's DNS server, and an
IPC namespace, so that a killed database leaves no shared memory behind. It dies with the thread that started it (parent-death
signal), and the journal knows it.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flowgauge.demo.scene.journal import Journal
from flowgauge.runtime.linux import NETNS_DIR, only_one_user

_STOP_WITHIN_S = 5.0

_ENTER = """
[ -z "$1" ] || echo 0 >"$1/cgroup.procs"
[ -z "$2" ] || mount --bind "$2" /etc/resolv.conf
shift 2
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class User:
    """Whom a program runs as; it never has a capability of root's."""

    uid: int
    gid: int

    @classmethod
    def named(cls, *names: str) -> User:
        """The first of ``names`` that exists here; the last must."""
        for name in names:
            with contextlib.suppress(KeyError):
                entry = pwd.getpwnam(name)
                return cls(entry.pw_uid, entry.pw_gid)
        raise KeyError(names[-1])

    @classmethod
    def owner_of(cls, path: Path) -> User:
        """The owner of ``path``: the one who can certainly read it."""
        status = path.stat()
        return cls(status.st_uid, status.st_gid)

    def own(self, path: Path) -> None:
        """Makes a file or folder this user's; where there is only one user it is so already."""
        if not only_one_user():
            shutil.chown(path, self.uid, self.gid)

    def setpriv(self) -> list[str]:
        """The command prefix that turns root into this user, without any capability, for good.

        In a user namespace with a single user, root goes by this user's name in a namespace below, where it has no power: some
        servers refuse to run as root.
        """
        if only_one_user():
            renamed = ["unshare", "--user", f"--map-user={self.uid}", f"--map-group={self.gid}", "--"]
            return [*renamed, "setpriv", "--no-new-privs", "--pdeathsig=KILL"]
        ids = [f"--reuid={self.uid}", f"--regid={self.gid}", "--clear-groups"]
        return ["setpriv", *ids, "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--pdeathsig=KILL"]


@dataclass(slots=True)
class Program:
    """What runs in a pod (or, without ``cgroup`` and ``resolv_conf``, elsewhere in the scene).

    Attributes:
        argv: program and arguments; never holds a secret.
        user: whom it runs as.
        env: its whole environment besides ``PATH`` and the language.
        input: what it reads from standard input.
    """

    argv: Sequence[str]
    user: User
    env: Mapping[str, str] = field(default_factory=dict)
    input: bytes = b""


class Process:
    """A running program; ``log_path`` gets what it prints."""

    def __init__(self, popen: subprocess.Popen[bytes], log_path: Path) -> None:
        self._popen, self.log_path = popen, log_path

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    def ended(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._popen.poll()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Asks it to end with signal ``how``; kills it after 5 s."""
        if self._popen.poll() is None:
            self._popen.send_signal(how)
            try:
                self._popen.wait(_STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()

    def wait(self, timeout_s: float) -> int:
        """Its exit status, once it has ended; subprocess.TimeoutExpired when it does not."""
        return self._popen.wait(timeout_s)

    def last_words(self, lines: int = 5) -> str:
        """The end of what it printed."""
        return "\n".join(self.log_path.read_text("utf-8", "replace").splitlines()[-lines:])


def start(
    journal: Journal,
    program: Program,
    log_path: Path,
    *,
    netns: str,
    cgroup: Path | None = None,
    resolv_conf: Path | None = None,
) -> Process:
    """Starts a program in a network namespace; its output is appended to ``log_path``."""
    enter = ["nsenter", f"--net={NETNS_DIR / netns}", "unshare", "--mount", "--propagation", "private", "--ipc", "--"]
    place = ["sh", "-c", _ENTER, "pod", str(cgroup or ""), str(resolv_conf or "")]
    with log_path.open("ab") as log:
        popen = subprocess.Popen(
            [*enter, *place, *program.user.setpriv(), *program.argv],
            stdin=subprocess.PIPE if program.input else subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", **program.env},
            cwd="/",
            start_new_session=True,
        )
    journal.process(popen.pid)
    if popen.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            popen.stdin.write(program.input)
            popen.stdin.close()
    return Process(popen, log_path)
