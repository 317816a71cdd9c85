# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The recorder in a botserver instance: started, asked whether writes flow, and ended for its log."""

from __future__ import annotations

import dataclasses
import inspect
import json
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.drill.cluster import POSTGRES
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ScalingError
from ansible_collections.generalbots.scaling.plugins.module_utils.history import recorder
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.addresses import address
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import Lxd
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import Clock, wait_for

FOLDER, UNIT = "/run/gb-drill", "gb-drill.service"
LOG = f"{FOLDER}/history.jsonl"
AUTHORITY = "/etc/haproxy/postgres-ca.crt"
#: seconds of undisturbed writing that count as a flow
STEADY = 2.0
#: seconds between two acknowledgements that are no pause yet
PAUSE = 1.0


@dataclasses.dataclass(frozen=True)
class Recording:
    """A client that writes as botserver does, and what it noted.

    :param client: the botserver instance whose address of the database is used
    :param database: ``host``, ``port``, ``dbname``, ``user`` and ``password`` as botserver has them
    :param rate: writes a second of each writer
    :param seconds: the longest that is written
    """

    lxd: Lxd
    subnet: str
    client: str
    database: t.Mapping[str, t.Any]
    writers: int = 4
    rate: float = 25.0
    seconds: float = 600.0
    clock: Clock = dataclasses.field(default_factory=Clock)

    def start(self, members: t.Iterable[str]) -> None:
        """Write from now on, and probe these members past the endpoint; returns when the first writers have begun.

        :raises ScalingError: the recorder does not come up
        """
        database = {"connect_timeout": 3, "sslmode": "verify-ca", "sslrootcert": AUTHORITY, **self.database}
        probed = {
            name: {**database, "host": address(self.subnet, POSTGRES, int(name.rpartition("-")[2])), "tcp_user_timeout": 3000}
            for name in members
        }
        config = recorder.Config(LOG, database, probed, seconds=self.seconds, writers=self.writers, rate=self.rate)
        self._execute(["systemctl", "stop", UNIT], may_fail=True)
        self._execute(["sh", "-c", f"rm -rf {FOLDER} && install -d -m 0700 {FOLDER}"])
        self.lxd.write_file(self.client, f"{FOLDER}/recorder.py", inspect.getsource(recorder).encode(), mode="0600")
        self.lxd.write_file(self.client, f"{FOLDER}/config.json", json.dumps(dataclasses.asdict(config)).encode(), mode="0600")
        unit = ["systemd-run", f"--unit={UNIT}", "--collect", "--property=Type=notify", "--property=TimeoutStopSec=120"]
        self._execute([*unit, "/usr/bin/python3", f"{FOLDER}/recorder.py", f"{FOLDER}/config.json"])

    def wait_flow(self, when: str, timeout: float) -> None:
        """Wait until writes have been acknowledged for a while without a pause.

        :param when: ends the sentence "waited for writes to be acknowledged …"
        :raises WaitTimeout: they are not
        """
        begun = self.clock.wall()

        def pauses() -> str:
            lines = self._execute(["tail", "-n", "1500", LOG]).splitlines()
            acknowledged = [one["at"] for line in lines if (one := _decoded(line)).get("event") == "ok" and one["at"] >= begun]
            return flow(acknowledged, self.clock.wall())

        wait_for(
            f"writes to be acknowledged {when}", pauses, lambda words: not words, timeout=timeout, interval=0.5, clock=self.clock,
        )  # fmt: skip

    def stop(self) -> str:
        """End it, which lets it read back, and return its log.

        :raises ScalingError: it left none
        """
        self._execute(["systemctl", "stop", UNIT], may_fail=True)
        found = self.lxd.read_file(self.client, LOG)
        self._execute(["rm", "-rf", FOLDER])
        if found is None:
            raise ScalingError(f"The recorder in {self.client} left no log; see journalctl -u {UNIT} there.")
        return found.decode()

    def _execute(self, argv: t.Sequence[str], *, may_fail: bool = False) -> str:
        code, out, err = self.lxd.execute(self.client, argv, timeout=150)
        if code != 0 and not may_fail:
            said = " ".join((err or out).split())[:300]
            raise ScalingError(f"{argv[0]} in {self.client} failed with exit status {code}: {said}. See journalctl -u {UNIT} there.")
        return out


def flow(acknowledged: t.Sequence[float], now: float) -> str:
    """Why writes do not flow: acknowledgements of the last :data:`STEADY` seconds must follow each other within a second."""
    recent = [moment for moment in acknowledged if moment >= now - STEADY]
    if not recent:
        return "none was acknowledged"
    pause = max(after - before for before, after in zip([now - STEADY, *recent], [*recent, now], strict=True))
    return f"{len(recent)} were acknowledged, with a pause of {pause:.1f} s" if pause > PAUSE else ""


def _decoded(line: str) -> dict[str, t.Any]:
    """A line of the log; the first and the last of a part may be broken."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
