# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""botserver's address of PostgreSQL on a real HAProxy: who it leads to, and what becomes of sessions when that changes."""

from __future__ import annotations

import pathlib
import socket
import subprocess
import typing as t

import pytest
from endpoints_real import MEMBERS, Authority, Endpoint, Member, binary, connect, said
from ports import free_port

from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for

pytestmark = pytest.mark.skipif(binary() is None, reason="no HAProxy: run make programs, or name one in GB_HAPROXY_BINARY")


class Site:
    """An authority, three members and HAProxy in front of them."""

    def __init__(self, folder: pathlib.Path, given: t.Mapping[str, t.Any]) -> None:
        self.ports = (free_port(), free_port())
        self.authority = Authority(folder / "pki")
        self.members = {
            name: Member(name, address, self.ports, self.authority.context(name)) for name, address in MEMBERS.items()
        }  # fmt: skip
        ports = {"endpoints_postgres_port": self.ports[0], "endpoints_postgres_rest_port": self.ports[1]}
        self.endpoint = Endpoint(str(binary()), folder, {"__endpoints_ca": str(self.authority.ca), **ports, **given})

    def lead(self, name: str) -> None:
        """Let this member be the primary, and the others replicas."""
        for one, member in self.members.items():
            member.role = "primary" if one == name else "replica"

    def reaches(self, port: int, name: str) -> None:
        """Wait until a new session of this address ends at this member; empty: nowhere."""
        wait_for(f"{port} to lead to {name or 'nobody'}", lambda: self.ask(port), lambda seen: seen == name, timeout=10, interval=0.02)

    def ask(self, port: int) -> str:
        """Where a new session ends."""
        session, name = connect(port)
        session.close()
        return name

    def close(self) -> None:
        self.endpoint.stop()
        for member in self.members.values():
            member.close()


@pytest.fixture
def site(tmp_path: pathlib.Path, request: pytest.FixtureRequest) -> t.Iterator[Site]:
    one = Site(tmp_path, getattr(request, "param", {}))
    yield one
    one.close()


def test_haproxy_takes_the_configuration_without_a_warning(site: Site) -> None:
    done = subprocess.run([site.endpoint.program, "-c", "-f", str(site.endpoint.config)], capture_output=True, text=True, check=False)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("[NOTICE]") and "has no server available" not in line]
    assert done.returncode == 0
    assert [line for line in lines if "changed from server-state" not in line] == []
    assert len(lines) == 10


def test_it_leads_to_the_primary_and_to_replicas(site: Site) -> None:
    site.lead("postgres-2")
    site.endpoint.start()
    site.reaches(site.endpoint.primary, "postgres-2")
    both = {"postgres-1", "postgres-3"}
    wait_for("replicas", lambda: {site.ask(site.endpoint.replica) for _ in range(8)}, lambda seen: seen == both, timeout=10, interval=0.02)
    assert {site.ask(site.endpoint.primary) for _ in range(8)} == {"postgres-2"}
    assert {site.ask(site.endpoint.replica) for _ in range(8)} == both


def test_a_session_ends_when_its_primary_is_demoted(site: Site) -> None:
    site.lead("postgres-1")
    site.endpoint.start()
    site.reaches(site.endpoint.primary, "postgres-1")
    session, _name = connect(site.endpoint.primary)
    session.sendall(b"still there?\n")
    assert said(session) == "postgres-1"
    # The member itself goes on answering on the session, as a frozen or cut-off primary would keep it.
    site.lead("postgres-3")
    assert said(session) == ""
    site.reaches(site.endpoint.primary, "postgres-3")


def test_nobody_is_asked_before_somebody_is_known_to_lead(site: Site) -> None:
    site.endpoint.start()
    assert {site.ask(site.endpoint.primary) for _ in range(20)} == {""}
    site.lead("postgres-1")
    site.reaches(site.endpoint.primary, "postgres-1")


def test_a_replica_that_lags_is_left_out(site: Site) -> None:
    site.lead("postgres-1")
    site.members["postgres-2"].lag = 17 * 1024 * 1024
    site.endpoint.start()
    site.reaches(site.endpoint.replica, "postgres-3")
    assert {site.ask(site.endpoint.replica) for _ in range(12)} == {"postgres-3"}


@pytest.mark.parametrize("site", [{"endpoints_connect_timeout": 100}], indirect=True)
def test_who_is_refused_by_a_primary_that_is_going_is_led_to_the_next(site: Site) -> None:
    site.lead("postgres-1")
    site.endpoint.start()
    site.reaches(site.endpoint.primary, "postgres-1")
    site.members["postgres-2"].role = "primary"
    site.reaches(site.endpoint.primary, "postgres-2")
    site.members["postgres-1"].refuse()
    assert [site.ask(site.endpoint.primary) for _ in range(8)] == ["postgres-2"] * 8


def test_a_reload_ends_no_session_and_refuses_none(site: Site) -> None:
    site.lead("postgres-1")
    site.endpoint.start()
    site.reaches(site.endpoint.primary, "postgres-1")
    session, _name = connect(site.endpoint.primary)
    site.endpoint.reload()
    assert {site.ask(site.endpoint.primary) for _ in range(20)} == {"postgres-1"}
    session.sendall(b"still there?\n")
    assert said(session) == "postgres-1"


def test_the_kernel_soon_asks_a_member_that_says_nothing_whether_it_is_there(site: Site) -> None:
    site.lead("postgres-1")
    site.endpoint.start()
    site.reaches(site.endpoint.primary, "postgres-1")
    session, _name = connect(site.endpoint.primary)
    member = f"{socket.inet_aton(MEMBERS['postgres-1'])[::-1].hex().upper()}:{site.ports[0]:04X}"
    # Which timer runs, and how many hundredths of a second it has left; 02 is that of keepalive.
    timers = [line.split()[5] for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:] if line.split()[2:4] == [member, "01"]]
    assert [timer[:2] for timer in timers] == ["02"]
    assert int(timers[0].partition(":")[2], 16) <= 500
    session.close()


def test_a_stranger_at_a_members_address_is_not_believed(site: Site, tmp_path: pathlib.Path) -> None:
    stranger = Authority(tmp_path / "stranger").context("postgres-1")
    impostor = site.authority.context("postgres-2")
    for name, context in (("postgres-1", stranger), ("postgres-3", impostor)):
        site.members[name].close()
        site.members[name] = Member(name, MEMBERS[name], site.ports, context)
        site.members[name].role = "primary"
    site.endpoint.start()
    wait_for("checks", lambda: site.endpoint.says("show servers state"), lambda text: " 0 0 1 1 " in text, timeout=10)
    wait_for("the handshakes to fail", lambda: site.endpoint.says("show stat"), lambda text: text.count("L6RSP") >= 4, timeout=10)
    assert site.ask(site.endpoint.primary) == ""
    assert site.members["postgres-1"].asked == []


def test_only_its_owner_may_use_the_socket(site: Site) -> None:
    site.endpoint.start()
    assert (site.endpoint.folder / "admin.sock").stat().st_mode & 0o777 == 0o600


def test_it_listens_on_loopback_only(site: Site) -> None:
    binds = [line.split()[1] for line in site.endpoint.config.read_text().splitlines() if line.strip().startswith("bind ")]
    assert binds == [f"127.0.0.1:{site.endpoint.primary}", f"127.0.0.1:{site.endpoint.replica}"]
