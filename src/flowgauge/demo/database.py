# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL as the demo runs it: Debian's server with a data directory of its own, user ``user``, database ``sampledb``."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from flowgauge.demo.scene.addresses import PODS
from flowgauge.demo.scene.processes import Program, User
from flowgauge.errors import EnvironmentProblem

PORT = 5432
NAME, USER = "sampledb", "user"
_DEBIAN = Path("/usr/lib/postgresql")
_SET_UP_WITHIN_S = 60.0

_CONFIG = """
port = {port}
listen_addresses = '{address}'
unix_socket_directories = ''
max_connections = 60
shared_buffers = 32MB
# Shared memory in files of the data directory: nothing is left in /dev/shm when the server is killed.
dynamic_shared_memory_type = mmap
# The data live as long as the demo.
fsync = off
synchronous_commit = off
full_page_writes = off
# The report compares server times with it.
log_min_duration_statement = 100
"""
_WHO_MAY = f"host all all {PODS} scram-sha-256\n"


def programs() -> Path | None:
    """The folder of the newest installed server's programs; None when there is none."""
    versions = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]) if path.parts[-3].isdigit() else 0)
    if versions:
        return versions[-1].parent
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


@dataclass(slots=True)
class Database:
    """A server to be: ``prepare`` makes its data directory, ``server`` is the program that serves it.

    Attributes:
        folder: data directory; its parent must let the user ``postgres`` in.
        address: where it will listen.
        password: of ``user``; made anew for each demo.
    """

    folder: Path
    address: str
    password: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)

    def prepare(self) -> None:
        """Makes the data directory with role and database; takes a second or two, and no network."""
        user = User.named("postgres")
        self.folder.mkdir(mode=0o700)
        user.own(self.folder)
        self._run("initdb", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8", "--auth=reject")
        with (self.folder / "postgresql.conf").open("a", encoding="utf-8") as stream:
            stream.write(_CONFIG.format(port=PORT, address=self.address))
        (self.folder / "pg_hba.conf").write_text(_WHO_MAY, encoding="utf-8")
        # Single-user mode reads statements from its standard input, so that the password is in no argument.
        self._run("postgres", "--single", "postgres", text=f"CREATE ROLE \"{USER}\" LOGIN PASSWORD '{self.password}'\n"
                                                           f'CREATE DATABASE {NAME} OWNER "{USER}"\n')  # fmt: skip

    def server(self) -> Program:
        """The server's program."""
        return Program([str(_folder() / "postgres"), "-D", str(self.folder)], User.named("postgres"))

    def environment(self) -> dict[str, str]:
        """What a client's container gets from the Secret."""
        return {"DATABASE_NAME": NAME, "DATABASE_USER": USER, "DATABASE_PASSWORD": self.password}

    def _run(self, program: str, *options: str, text: str = "") -> None:
        where = ["-D", str(self.folder)]
        argv = [str(_folder() / program), *options[:1], *where, *options[1:]]
        enter = ["unshare", "--ipc", "--", *User.named("postgres").setpriv()]
        try:
            done = subprocess.run(
                [*enter, *argv], input=text, capture_output=True, text=True, check=False, cwd="/", timeout=_SET_UP_WITHIN_S
            )
        except subprocess.TimeoutExpired as error:
            raise EnvironmentProblem(f"PostgreSQL's {program} did not end within {_SET_UP_WITHIN_S:.0f} s") from error
        if done.returncode != 0:
            raise EnvironmentProblem(f"PostgreSQL's {program} failed: {done.stderr.strip()[-500:]}")


def _folder() -> Path:
    folder = programs()
    if folder is None:
        raise EnvironmentProblem("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    return folder
