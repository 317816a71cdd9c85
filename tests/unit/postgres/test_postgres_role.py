# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles etcd, postgres and certificates refuse and write, in one run of ansible-playbook on the controller."""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import subprocess
import sys
import typing as t

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from postgres_site import SITE

Json = dict[str, t.Any]
SLOTS = {f"{kind}-{slot}": {"gb_slot": str(slot), "gb_component": kind} for kind in ("etcd", "postgres") for slot in (1, 2, 3)}
GOOD: Json = {**SITE, "gb_etcd_members": 3}
LATER: Json = {"postgres_patroni_version": "4.1.5", "postgres_durability": "asynchronous", "postgres_version": 17}

#: what stands on the host where its authority is, and is that of nobody here
TRUSTED: Json = {"certificates_trusted_file": __file__}

# name: (role, entry point, variables, what the refusal says)
REFUSED: dict[str, tuple[str, str, Json, str]] = {
    "an even number of etcd": ("etcd", "preflight", {"gb_etcd_members": 2}, "gb_etcd_members is 2. It must be 1, 3, 5 or 7"),
    "a retention in days": ("etcd", "preflight", {"etcd_retention": "1d"}, "etcd_retention is 1d, etcd_memory_target empty"),
    "memory as LXD has it": ("etcd", "preflight", {"etcd_memory_target": "192M"}, "etcd_memory_target 192M"),
    "a hasty election": ("etcd", "preflight", {"etcd_election_timeout": 200}, "etcd_election_timeout is 200 ms with a heartbeat of 100 ms"),
    "two members": ("postgres", "preflight", {"gb_postgres_members": 2}, "gb_postgres_members is 2. It must be 1, or 3 and more"),
    "a password for no URL": ("postgres", "preflight", {"postgres_user_password": "p@ss/word"}, "postgres_user_password must consist of"),
    "a database for no URL": ("postgres", "preflight", {"postgres_database": "bot server"}, "postgres_database must consist of letters"),
    "timers that there are not": ("postgres", "preflight", {"postgres_timers": "quick"}, "is quick. It must be fast or steady"),
    "timers without a ttl": ("postgres", "preflight", {"postgres_timers": {"loop_wait": 1, "retry_timeout": 2}}, "a mapping of ttl,"),
    "a lease that etcd does not grant": (
        "postgres", "preflight", {"etcd_election_timeout": 5000}, "(ttl) is 5 s, and etcd grants none that is shorter than one and a half",
    ),
    "timers against the rule": (
        "postgres", "preflight", {"postgres_timers": {"ttl": 20, "loop_wait": 10, "retry_timeout": 10}}, "+ 2 * retry_timeout <= ttl",
    ),
    "timers that the version does not take": (
        "postgres", "preflight", {"postgres_patroni_version": "4.1.5", "postgres_timers": {"ttl": 5, "loop_wait": 1, "retry_timeout": 2}},
        "Patroni 4.1.5 takes no ttl below 20",
    ),
    "a parameter of Patroni's": (
        "postgres", "preflight", {"postgres_parameters": {"wal_log_hints": "off"}}, "sets wal_log_hints, which Patroni sets itself",
    ),
    "a limit that is too low": (
        "postgres", "preflight", {"gb_settings": {"scale-max-instances": 10}, "gb_bots": 3}, "memory is 1GiB, and PostgreSQL needs",
    ),
    "too few connections": (
        "postgres", "preflight", {"postgres_parameters": {"max_connections": 40}}, "max_connections is 40, and 65 are needed: 2 botservers",
    ),
    "no size": ("postgres", "preflight", {"gb_postgres_limits": {"memory": "50%"}}, "from which PostgreSQL's settings cannot be computed"),
    "an authority that ended": ("certificates", "main", {"certificates_authority": "ended"}, "nobody trusts what it signed any more"),
    "another authority than the host's": (
        "certificates", "main", {"certificates_authority": "ended", **TRUSTED}, "ca.crt on this controller is another",
    ),
    "an authority beside the host's": (
        "certificates", "main", {"certificates_authority": "beside", **TRUSTED}, "ca.crt on this controller is missing",
    ),
}  # fmt: skip


def include(role: str, entry: str, variables: Json) -> Json:
    used = {"name": f"generalbots.scaling.{role}", "tasks_from": entry}
    return {"name": "Use the role", "ansible.builtin.include_role": used, "vars": variables}


def refusal(name: str, role: str, entry: str, variables: Json) -> Json:
    said = "{{ [ansible_failed_result.msg | default('')] + ansible_failed_result.results | default([]) | map(attribute='msg') }}"
    keep = {"refusals": "{{ refusals | default({}) | combine({case: said | join(' ')}) }}"}
    block = include(role, entry, variables)
    return {"vars": {"case": name}, "block": [block], "rescue": [{"ansible.builtin.set_fact": keep, "vars": {"said": said}}]}


def ended_authority(folder: pathlib.Path) -> None:
    """An authority of which nothing is wrong but that it ended yesterday."""
    folder.mkdir(parents=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ended")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
    made = made.not_valid_before(now - 9 * day).not_valid_after(now - day)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    (folder / "ca.crt").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    (folder / "ca.key").write_text("kept elsewhere")


class Run(t.NamedTuple):
    """What was refused with which words, what the roles computed, and where the secrets are."""

    refusals: dict[str, str]
    computed: Json
    secrets: pathlib.Path


def computed_on(host: str, folder: pathlib.Path, variables: Json, names: dict[str, str]) -> Json:
    """A play that writes what the role postgres, or etcd, computes on a member."""
    role = {"name": f"generalbots.scaling.{host.partition('-')[0]}", "tasks_from": "preflight", "public": True}
    copies = [{"content": f"{{{{ {value} | to_json }}}}", "dest": f"{folder}/{name}.json", "mode": "0600"} for name, value in names.items()]
    tasks = [{"ansible.builtin.include_role": role}, *({"ansible.builtin.copy": copy} for copy in copies)]
    return {"hosts": host, "gather_facts": False, "vars": variables, "tasks": tasks}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Every case in one run, for a start of ansible-playbook costs as much as all of them."""
    folder = tmp_path_factory.mktemp("roles")
    secrets = folder / "secrets"
    ended_authority(secrets / "pki" / "ended")
    tasks = [refusal(name, role, entry, given) for name, (role, entry, given, _why) in REFUSED.items()]
    tasks.append(include("etcd", "preflight", {"etcd_retention": "1h30m", "etcd_memory_target": "192MiB", "etcd_quota": "1024"}))
    tasks += [include("etcd", "preflight", {}), include("postgres", "preflight", {"gb_postgres_members": 1})]
    tasks += [include("certificates", "main", {"certificates_authority": "good", "certificates_addresses": ["10.87.0.31"]})] * 2
    tasks.append(include("certificates", "main", {"certificates_authority": "good", "certificates_addresses": ["10.87.0.32"]}))
    other = {"certificates_authority": "other", **TRUSTED, "certificates_replace": True}
    tasks += [include("certificates", "main", other)]
    same = {"certificates_authority": "other", "certificates_trusted_file": str(secrets / "pki" / "other" / "ca.crt")}
    tasks += [include("certificates", "main", same)]
    brief = {"certificates_authority": "good", "certificates_name": "brief"}
    tasks += [include("certificates", "main", {**brief, **days}) for days in ({"certificates_days": 10}, {})]
    tasks.append({"ansible.builtin.copy": {"content": "{{ refusals | to_json }}", "dest": f"{folder}/refusals.json", "mode": "0600"}})
    shared = {**GOOD, "gb_secrets_dir": str(secrets), "gb_cache_dir": str(folder)}
    shared["ansible_python_interpreter"] = "{{ ansible_playbook_python }}"
    plays = [
        {"hosts": "localhost", "gather_facts": False, "vars": shared, "tasks": tasks},
        computed_on("postgres-2", folder, shared, {"member": "__postgres_patroni", "cluster": "__postgres_dynamic"}),
        computed_on(
            "postgres-3", folder, {**shared, **LATER}, {"later": "__postgres_dynamic", "seventeen": "__postgres_patroni.postgresql"}
        ),
        *(
            computed_on(f"etcd-{number}", folder, {**shared, "gb_etcd_limits": limits}, {f"etcd-{number}": "__etcd_memory_target"})
            for number, limits in enumerate(({}, {"memory": "192MiB"}, {"memory": "50%"}), start=1)
        ),
    ]
    (folder / "play.json").write_text(json.dumps(plays))
    groups = {kind: {"hosts": {name: given for name, given in SLOTS.items() if name.startswith(kind)}} for kind in ("etcd", "postgres")}
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": {"localhost": {}}, "children": groups}}))
    (folder / "ansible.cfg").write_text("[defaults]\n")
    environment = os.environ | {"ANSIBLE_CONFIG": str(folder / "ansible.cfg"), "ANSIBLE_LOCALHOST_WARNING": "false"}
    command = [sys.executable, "-m", "ansible", "playbook", "-i", str(folder / "hosts.yml"), "-c", "local", str(folder / "play.json")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    assert "p@ss/word" not in done.stdout
    names = ("member", "cluster", "later", "seventeen", "etcd-1", "etcd-2", "etcd-3")
    computed = {name: json.loads((folder / f"{name}.json").read_text()) for name in names}
    return Run(json.loads((folder / "refusals.json").read_text()), computed, secrets)


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused_with_the_reason(run: Run, name: str) -> None:
    assert REFUSED[name][3] in run.refusals.get(name, "was not refused")


def test_a_member_speaks_etcd_v3_over_tls_with_a_certificate_of_its_own(run: Run) -> None:
    member = run.computed["member"]
    assert "etcd" not in member
    assert member["etcd3"]["protocol"] == "https"
    assert member["etcd3"]["hosts"] == ["10.87.0.21:2379", "10.87.0.22:2379", "10.87.0.23:2379"]
    assert member["etcd3"]["cert"] == "/etc/patroni/etcd.crt"


def test_the_rest_api_has_tls_a_password_and_a_list(run: Run) -> None:
    api = run.computed["member"]["restapi"]
    assert (api["listen"], api["certfile"]) == ("10.87.0.32:8008", "/etc/patroni/member.crt")
    assert len(api["authentication"]["password"]) == 32
    assert api["allowlist"] == ["10.87.0.0/24"]


def test_nobody_connects_over_the_network_without_tls_and_scram(run: Run) -> None:
    rules = run.computed["cluster"]["postgresql"]["pg_hba"]
    network = [rule for rule in rules if not rule.startswith("local")]
    assert all(rule.startswith("hostssl") and rule.endswith("scram-sha-256") for rule in network if not rule.endswith("reject"))
    assert network.index("host all postgres,replicator,rewind all reject") < network.index("hostssl all all 10.87.0.0/24 scram-sha-256")


def test_the_default_waits_for_a_standby_and_starts_lenient(run: Run) -> None:
    cluster, member = run.computed["cluster"], run.computed["member"]
    assert (cluster["synchronous_mode"], cluster["synchronous_mode_strict"]) == (True, True)
    assert member["bootstrap"]["dcs"]["synchronous_mode_strict"] is False
    assert (cluster["ttl"], cluster["loop_wait"], cluster["retry_timeout"]) == (5, 1, 2)


def test_a_later_patroni_gets_timers_that_it_takes(run: Run) -> None:
    later = run.computed["later"]
    assert (later["ttl"], later["loop_wait"], later["retry_timeout"]) == (20, 1, 3)
    assert (later["synchronous_mode"], later["synchronous_mode_strict"]) == (False, False)


def test_no_standby_waits_for_its_slot_where_patroni_makes_it_late(run: Run) -> None:
    cluster, later = run.computed["cluster"]["postgresql"], run.computed["later"]["postgresql"]
    assert (cluster["use_slots"], cluster["parameters"]["wal_keep_size"]) == (False, "2048MB")
    assert (later["use_slots"], later["parameters"]["wal_keep_size"]) == (True, "2048MB")


def test_debians_places_are_named(run: Run) -> None:
    postgresql = run.computed["member"]["postgresql"]
    assert (postgresql["bin_dir"], postgresql["data_dir"]) == ("/usr/lib/postgresql/15/bin", "/var/lib/postgresql/15/main")
    assert postgresql["authentication"]["replication"]["sslmode"] == "verify-full"


def test_another_postgresql_is_looked_for_in_its_own_places(run: Run) -> None:
    postgresql = run.computed["seventeen"]
    assert (postgresql["bin_dir"], postgresql["data_dir"]) == ("/usr/lib/postgresql/17/bin", "/var/lib/postgresql/17/main")


def test_etcd_aims_below_the_memory_that_it_may_have(run: Run) -> None:
    assert [run.computed[f"etcd-{number}"] for number in (1, 2, 3)] == ["192MiB", "144MiB", "192MiB"]


def test_a_certificate_that_ends_soon_is_made_anew(run: Run) -> None:
    certificate = x509.load_pem_x509_certificate((run.secrets / "pki" / "good" / "brief.crt").read_bytes())
    assert certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC) > datetime.timedelta(days=800)


def test_an_authority_beside_the_hosts_is_made_by_the_explicit_word_alone(run: Run) -> None:
    assert (run.secrets / "pki" / "other" / "ca.crt").exists()
    assert not (run.secrets / "pki" / "beside").exists()


def test_a_certificate_is_made_once_and_anew_for_another_address(run: Run) -> None:
    folder = run.secrets / "pki" / "good"
    certificate = x509.load_pem_x509_certificate((folder / "localhost.crt").read_bytes())
    authority = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["10.87.0.32"]
    certificate.verify_directly_issued_by(authority)
    assert (folder / "ca.key").stat().st_mode & 0o077 == 0
    assert (folder / "localhost.key").stat().st_mode & 0o077 == 0
