# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the steps of a fault do to an instance, through LXD alone. Everything that lasts can be undone, and undoing it twice is no error."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.drill import cluster as seen
from ansible_collections.generalbots.scaling.plugins.module_utils.drill.faults import Step
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import Refused, ScalingError
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.addresses import address, component_range
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import Lxd
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.store import Body, replace
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import Clock, wait_for

#: CPU that a starved instance has left, and one on a host that is busy
STARVED, BURDENED = "2ms/100ms", "20ms/100ms"
#: how often etcd loses its leader, and seconds from one to the next, in which Patroni has several loops
LEADERS_LOST, BETWEEN_LEADERS = 6, 8.0
ALLOWANCE = "limits.cpu.allowance"
#: what an instance had before a drill changed it: its share of the processor and the size of its disk, or one of the words below
KEPT_CPU, KEPT_DISK = "user.gb.drill.cpu", "user.gb.drill.disk"
#: there was no limit; its disk was that of its profile
UNBOUNDED, PROFILE = "none", "profile"
#: share and MiB that a quota leaves above what du counts, which is less than what btrfs counts. What fills that has to be enough to make
#: room again when it goes: btrfs changes no quota of a disk that is full
LEFT_SHARE, LEFT = 0.1, 64
BALLAST = "/var/lib/postgresql/gb-drill-ballast"
PATRONI = "/etc/patroni/config.yml"
PATRONICTL = f"patronictl -c {PATRONI}"
#: the configuration of a member as it was before a drill let it follow somebody else
KEPT_PATRONI = "/etc/patroni/config.yml.gb-drill"
FOLLOW = (
    "import sys, yaml; path, upstream = sys.argv[1:]; said = yaml.safe_load(open(path)); "
    "said['tags'] = {**(said.get('tags') or {}), 'replicatefrom': upstream}; text = yaml.safe_dump(said); open(path, 'w').write(text)"
)
#: waits until Patroni has taken the order to hand over the lead; the argument is since when, in seconds of Unix time. In the instance,
#: as a switchover has got far by the time that LXD has answered a few questions
TAKEN = (
    'until journalctl --unit patroni.service --since "@$0" --quiet --grep "received switchover request" | grep --quiet .; '
    "do sleep 0.05; done"
)
UPSTREAM = "psql -U postgres -h /var/run/postgresql -Atc \"select sender_host from pg_stat_wal_receiver where status = 'streaming'\""
SHELL: t.Mapping[str, str] = {
    "kill-postgres": "kill -9 $(head -n 1 /var/lib/postgresql/*/main/postmaster.pid)",
    "kill-patroni": "systemctl kill --signal=KILL --kill-who=main patroni.service",
    # One command for both, so that Patroni has no time to see the other go.
    "kill-both": (
        "kill -9 $(systemctl show --property MainPID --value patroni.service) $(head -n 1 /var/lib/postgresql/*/main/postmaster.pid)"
    ),
    "kill-etcd": "systemctl kill --signal=KILL --kill-who=main etcd.service",
    "mend": "nft list tables | grep -q 'inet gb_drill' && nft delete table inet gb_drill || true",
    "clear": f"rm -f {BALLAST} && sync",
    "unfollow": f"test ! -e {KEPT_PATRONI} || {{ mv {KEPT_PATRONI} {PATRONI} && systemctl reload patroni.service; }}",
}


@dataclasses.dataclass
class Steps:
    """Takes steps. ``subnet`` is where instances have their addresses; ``scope`` names the Patroni cluster."""

    lxd: Lxd
    subnet: str
    scope: str
    clock: Clock = dataclasses.field(default_factory=Clock)

    def take(self, step: Step) -> None:
        """Take one.

        :raises ScalingError: it could not be done, with the reason
        """
        special: dict[str, t.Callable[[Step], None]] = {
            "stop": self._power, "start": self._power, "freeze": self._power, "unfreeze": self._power, "cut": self._cut,
            "starve": self._starve, "burden": self._starve, "feed": self._feed, "fill": self._fill, "clear": self._clear,
            "new-leader": self._new_leader, "follow": self._follow, "switchover": self._switchover, "reinit": self._reinit,
            "kill-etcd-leaders": self._kill_etcd_leaders,
        }  # fmt: skip
        if step.verb in special:
            special[step.verb](step)
        else:
            self._shell(step.target or self._leader(), SHELL[step.verb], str(step))

    def _leader(self) -> str:
        leader = seen.look(self.lxd, self.subnet).leader
        if not leader:
            raise Refused("Nobody leads, so there is nobody to hit.")
        return leader

    def _shell(self, name: str, command: str, what: str) -> str:
        code, out, err = self.lxd.execute(name, ["sh", "-c", command], timeout=60)
        if code != 0:
            raise ScalingError(f"The drill could not {what} in {name} (exit status {code}): {' '.join((err or out).split())[:300]}")
        return out

    def _power(self, step: Step) -> None:
        wanted = {"stop": "Stopped", "start": "Running", "freeze": "Frozen", "unfreeze": "Running"}[step.verb]
        if self.lxd.get(f"instances/{step.target}")[0]["status"] != wanted:
            self.lxd.put(f"instances/{step.target}/state", {"action": step.verb, "force": True, "timeout": 30})

    def _cut(self, step: Step) -> None:
        addresses = [where for peer in step.peers for where in self._addresses(peer)]
        rules = {"in": ("input", "saddr"), "out": ("output", "daddr")}
        made = ["add table inet gb_drill"]
        for way in step.ways:
            hook, field = rules[way]
            made.append(f"add chain inet gb_drill {hook} {{ type filter hook {hook} priority -300; }}")
            made.append(f"add rule inet gb_drill {hook} ip {field} {{ {', '.join(addresses)} }} drop")
        code, _out, err = self.lxd.execute(step.target, ["nft", "; ".join(made)], timeout=30)
        if code != 0:
            raise ScalingError(f"The drill could not {step}: nft said {' '.join(err.split())[:300]}")

    def _addresses(self, peer: str) -> list[str]:
        if peer == seen.CLIENT:
            return ["-".join(component_range(self.subnet, peer))]
        component, _dash, slot = peer.rpartition("-")
        return [address(self.subnet, component, int(slot))]

    def _starve(self, step: Step) -> None:
        def starved(now: Body) -> Body:
            config = dict(now["config"])
            # LXD keeps no key that is empty.
            config.setdefault(KEPT_CPU, config.get(ALLOWANCE, UNBOUNDED))
            return {**now, "config": {**config, ALLOWANCE: STARVED if step.verb == "starve" else BURDENED}}

        replace(self.lxd, f"instances/{step.target}", starved)

    def _feed(self, step: Step) -> None:
        def as_before(now: Body) -> Body:
            config = dict(now["config"])
            kept = config.pop(KEPT_CPU, None)
            if kept == UNBOUNDED:
                config.pop(ALLOWANCE, None)
            elif kept:
                config[ALLOWANCE] = kept
            return {**now, "config": config}

        replace(self.lxd, f"instances/{step.target}", as_before)

    def _fill(self, step: Step) -> None:
        """Give the instance a quota above what it holds, and fill that; the host's pool never notices."""
        there = self.lxd.get(f"instances/{step.target}")[0]
        root = there["expanded_devices"]["root"]
        driver = self.lxd.get(f"storage-pools/{root['pool']}")[0]["driver"]
        if driver == "dir":
            raise Refused(f"The pool {root['pool']} is of the driver dir, which knows no quota: a disk that is full would be the host's.")
        # du ends with 1 where a file went away while it counted. LXD's own count leaves out what the instance shares with its image.
        held = self._shell(step.target, "du -sxBM / || test $? -eq 1", "count what is on the disk").split()[0]
        quota = int(int(held.rstrip("M")) * (1 + LEFT_SHARE)) + LEFT
        sized = {**root, "size": f"{quota}MiB"}

        def bounded(now: Body) -> Body:
            own = now["devices"].get("root", {})
            kept = now["config"].get(KEPT_DISK) or (own.get("size", UNBOUNDED) if own else PROFILE)
            return {**now, "devices": {**now["devices"], "root": sized}, "config": {**now["config"], KEPT_DISK: kept}}

        replace(self.lxd, f"instances/{step.target}", bounded)
        # It ends with no space left, as it shall; what is random is not compressed.
        self._shell(step.target, f"dd if=/dev/urandom of={BALLAST} bs=1M count={quota} 2>/dev/null; sync", str(step))

    def _clear(self, step: Step) -> None:
        # First what fills it, see LEFT.
        self._shell(step.target, SHELL["clear"], str(step))

        def as_before(now: Body) -> Body:
            kept = now["config"].get(KEPT_DISK)
            if not kept:
                return now
            devices, config = dict(now["devices"]), {key: value for key, value in now["config"].items() if key != KEPT_DISK}
            root = {key: value for key, value in devices.pop("root").items() if key != "size"}
            if kept != PROFILE:
                devices["root"] = root if kept == UNBOUNDED else {**root, "size": kept}
            return {**now, "devices": devices, "config": config}

        replace(self.lxd, f"instances/{step.target}", as_before)

    def _kill_etcd_leaders(self, step: Step) -> None:
        for _again in range(LEADERS_LOST):
            now = self._once("etcd to have a leader", lambda now: bool(now.etcd_leader))
            self._shell(now.etcd_leader, SHELL["kill-etcd"], str(step))
            self.clock.sleep(BETWEEN_LEADERS)

    def _new_leader(self, step: Step) -> None:
        self._once(f"somebody else than {step.target} to lead", lambda now: now.leader not in ("", step.target))

    def _once(self, what: str, good: t.Callable[[seen.Cluster], bool]) -> seen.Cluster:
        """The cluster as soon as it is as wanted; ``what`` ends the sentence "waited for …"."""
        return wait_for(
            what, lambda: seen.look(self.lxd, self.subnet), good,
            timeout=60, describe=lambda now: "; ".join(now.problems()), clock=self.clock,
        )  # fmt: skip

    def _follow(self, step: Step) -> None:
        """Let a standby follow another standby, and wait until it does."""
        (upstream,) = step.peers
        where = self._addresses(upstream)
        self._shell(
            step.target,
            # One that a broken-off drill left is the original only while its change is still there; a run may have written another since.
            f"{{ test -e {KEPT_PATRONI} && grep -q replicatefrom {PATRONI}; }} || cp -p {PATRONI} {KEPT_PATRONI}; "
            f'python3 -c "{FOLLOW}" {PATRONI} {upstream} && systemctl reload patroni.service',
            str(step),
        )
        wait_for(
            f"{step.target} to follow {upstream}", lambda: self._shell(step.target, UPSTREAM, "ask whom it follows").split(),
            lambda found: found == where, timeout=30, clock=self.clock,
        )  # fmt: skip

    def _switchover(self, step: Step) -> None:
        (following,) = step.peers
        command = f"{PATRONICTL} switchover {self.scope} --leader {step.target} --candidate {following} --force"
        if not step.ways:
            self._shell(step.target, command, str(step))
            return
        # In the background it outlives this call and not the instance.
        self._shell(step.target, f"begun=$(date +%s); {command} >/dev/null 2>&1 & timeout 20 sh -c '{TAKEN}' $begun", str(step))

    def _reinit(self, step: Step) -> None:
        self._shell(step.target, f"{PATRONICTL} reinit {self.scope} {step.target} --force", str(step))
