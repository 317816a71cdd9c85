# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site under the hands of its operator: variables that are changed, passwords that are made anew, visitors meanwhile."""

from __future__ import annotations

import pathlib
import re
import secrets
import string
import time
import typing as t

import yaml
from data_tier import MEMBERS, Place, Site, changes
from scenario import ROOT, run_ansible

#: what the tests have changed of the inventory
NOW = ROOT / ".build/operations/now.yml"
#: seconds. A primary of Patroni 3.2 and later goes within its lease of 20 s; a switchover takes far less
STANDSTILL = 20


def started_anew(said: str) -> list[str]:
    """The members in the order in which an upgrade started them anew, by what it printed."""
    found: list[str] = re.findall(r"Start it anew, (postgres-\d)\](?:(?!TASK).)*?changed: \[\1\]", said)
    return found


class Operated(Site):
    """The site, and what is done to it."""

    def __init__(self) -> None:
        NOW.parent.mkdir(parents=True, exist_ok=True)
        if not NOW.exists():
            self._write({})
        super().__init__(Place.of("operations", "-e", f"@{NOW}"))

    def set(self, **variables: t.Any) -> None:
        """Change variables of the inventory; they stay so for every later run."""
        self._write({**(yaml.safe_load(NOW.read_text(encoding="utf-8")) or {}), **variables})

    def unchanged(self, playbook: str, *arguments: str) -> float:
        """Run a playbook, which must find nothing to do; returns the seconds that this took."""
        begun = time.monotonic()
        said = self.play(playbook, *arguments)
        took = time.monotonic() - begun
        assert changes(said) == [], said[-6000:]
        return took

    def upgraded(self, what: str) -> str:
        """Upgrade the members while somebody writes: each is started anew once, who leads last, and another one leads then.

        :param what: name of the figure, as :meth:`recorded` takes it
        :returns: who led before
        """
        before = self.settled()
        with self.recorded(what) as seen:
            said = self.play("postgres_upgrade")
        assert seen.verdict.outage < STANDSTILL
        order = started_anew(said)
        assert (sorted(order), order[-1:]) == (list(MEMBERS), [before]), "who led was not the last"
        assert self.settled() != before, "who led leads again, and it was restarted under its writers"
        return before

    def play_file(self, file: pathlib.Path, *arguments: str, fails: bool = False) -> str:
        """Run a playbook of a test's own, otherwise as one of the collection."""
        return run_ansible(["ansible-playbook", str(file), *self.place.extra, *arguments], self.place.inventory, fails=fails)

    def renew_secret(self, name: str) -> tuple[str, str]:
        """Write another password to its file; returns the old and the new one."""
        file: pathlib.Path = self.place.secrets / f"postgres_{name}"
        old = self.secret(name)
        new = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(32))
        file.write_text(f"{new}\n", encoding="utf-8")
        return old, new

    def login(self, user: str, password: str, where: str, *, let_in: bool) -> str:
        """Log in at the leader from another member, over the network and with TLS; returns what came back.

        :param where: further parameters of libpq, such as C(dbname=botserver) or C(replication=true)
        """
        leader = self.leader()
        elsewhere = next(name for name in MEMBERS if name != leader)
        at = f"host={self.place.at(leader)} user={user} sslmode=require {where}"
        # By a file, for a password in an argument is seen by everybody.
        self.lxd.write_file(elsewhere, "/root/.pgpass", f"*:*:*:*:{password}\n".encode(), mode="0600")
        try:
            question = "IDENTIFY_SYSTEM" if "replication" in where else "select 1"
            return (self.run if let_in else self.refused)(elsewhere, "psql", "-X", "-A", "-t", "-c", question, at)
        finally:
            self.run(elsewhere, "rm", "/root/.pgpass")

    def took(self, user: str, pair: tuple[str, str], where: str) -> None:
        """Require that the new password of a pair is let in, and the old one is not."""
        self.login(user, pair[1], where, let_in=True)
        assert "password authentication failed" in self.login(user, pair[0], where, let_in=False)

    @staticmethod
    def _write(variables: t.Mapping[str, t.Any]) -> None:
        NOW.write_text(yaml.safe_dump(dict(variables)), encoding="utf-8")
