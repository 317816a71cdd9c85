# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role botserver refuses, computes and writes on the controller: one playbook run, one stand-in for Vault's HTTP API."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading
import typing as t

import jinja2
import pytest

ROLE = pathlib.Path(__file__).parents[3] / "roles" / "botserver"
REAL = {"botserver_binary": "/bin/true", "botserver_vault_addr": "https://vault.example:8200", "botserver_vault_token": "s.read"}
DEMO = {"botserver_demo": True}
SECRETS = {"gbo/tables": {"host": "10.0.0.5", "port": "5432", "password": "Abc-123_~"}, "gbo/cache": {"password": "x"}}
AT_SIGN = {"gbo/cache": {"password": "never@shown"}}
CLUSTER = {"gb_postgres_members": 3, "postgres_user_password": "OnlyInVault1"}
TABLES = {"host": "127.0.0.1", "port": "5432", "database": "botserver", "username": "gbuser"}
PRIVATE_STACK = "it would bootstrap a private stack"

# name: (entry point, variables, what the refusal says)
REFUSED: dict[str, tuple[str, dict[str, t.Any], str]] = {
    "neither demo nor binary": ("install", {}, "give exactly one"),
    "demo and binary": ("install", DEMO | REAL, "give exactly one"),
    "URL without checksum": ("install", REAL | {"botserver_binary": "https://example.com/botserver"}, "needs it"),
    "checksum of another kind": ("install", REAL | {"botserver_binary_checksum": "md5:12"}, "64 hexadecimal digits"),
    "no Vault": ("install", REAL | {"botserver_vault_addr": ""}, PRIVATE_STACK),
    "Vault without scheme": ("install", REAL | {"botserver_vault_addr": "vault:8200"}, PRIVATE_STACK),
    "Vault on localhost": ("environment", REAL | {"botserver_vault_addr": "http://localhost:8200"}, PRIVATE_STACK),
    "Vault on 127.0.0.1": ("environment", REAL | {"botserver_vault_addr": "http://127.0.0.1:8200"}, PRIVATE_STACK),
    "Vault on 127.1.2.3": ("environment", REAL | {"botserver_vault_addr": "http://127.1.2.3:8200"}, PRIVATE_STACK),
    "Vault on ::1": ("environment", REAL | {"botserver_vault_addr": "http://[::1]:8200"}, PRIVATE_STACK),
    "no binary in that place": ("inputs", REAL | {"botserver_binary": "/nowhere"}, "/nowhere on the controller is not a file"),
    "another binary": ("inputs", REAL | {"botserver_binary_checksum": "sha256:" + 64 * "0"}, "not that of botserver_binary_checksum"),
    "no Vault for an image": ("inputs", REAL | {"botserver_vault_addr": "http://localhost:8200"}, PRIVATE_STACK),
    "no threads": ("inputs", REAL | {"botserver_worker_threads": 0}, "botserver_worker_threads is 0. It must be a whole number above 0"),
    "fewer threads than none": ("environment", REAL | {"botserver_worker_threads": -1}, "botserver_worker_threads is -1."),
    "no token": ("environment", REAL | {"botserver_vault_token": ""}, "botserver_vault_token is empty"),
    "a number in .env": ("environment", DEMO | {"botserver_environment_extra": {"LOAD": 1}}, "LOAD. A name is"),
    "two lines in .env": ("environment", DEMO | {"botserver_environment_extra": {"LOAD": "a\nB=c"}}, "LOAD. A name is"),
    "a final line end in .env": ("environment", DEMO | {"botserver_environment_extra": {"LOAD": "a\n"}}, "LOAD. A name is"),
    "a quote in .env": ("environment", DEMO | {"botserver_environment_extra": {"LOAD": 'a"'}}, "LOAD. A name is"),
    "a name that is none in .env": ("environment", DEMO | {"botserver_environment_extra": {"A B": "c"}}, "A B. A name is"),
    "a number as secret": ("vault", {"botserver_vault_secrets": {"gbo/tables": {"port": 5432}}}, "gbo/tables: port is not a string."),
    "no mapping as secret": ("vault", {"botserver_vault_secrets": {"gbo/tables": "x"}}, "gbo/tables is not a mapping."),
    "a password with @": ("vault", {"botserver_vault_secrets": AT_SIGN}, "gbo/cache: password would need escaping in a URL."),
    "two wrong secrets": ("vault", {"botserver_vault_secrets": AT_SIGN | {"gbo/jwt": {"n": 1}}}, "URL. gbo/jwt: n is not a string."),
    "secrets without token": (
        "vault", {"botserver_vault_secrets": SECRETS, "botserver_vault_write_token": "", "botserver_vault_token": ""}, "give both",
    ),
    "secrets without Vault": ("vault", {"botserver_vault_secrets": SECRETS, "botserver_vault_addr": ""}, "give both"),
    "another database beside the cluster": (
        "vault", CLUSTER | {"botserver_vault_secrets": SECRETS}, "to the database at 10.0.0.5:5432, and gb_postgres_members is 3",
    ),
}  # fmt: skip


def mark(**secrets: t.Any) -> str:
    """What stands in .env for the secrets that botserver reads at its start."""
    return hashlib.sha256(json.dumps(secrets, sort_keys=True).encode()).hexdigest()[:16]


COMPUTED: dict[str, tuple[dict[str, t.Any], dict[str, str]]] = {
    "demo": (
        DEMO | {"botserver_port": 8090, "botserver_environment_extra": {"GB_DEMO_SLOW_START": "2"}},
        {
            "PORT": "8090", "BOTSERVER_ENV": "production", "GB_DEMO_STANDALONE": "true", "GBO_WORK_PATH": "/opt/gbo/work",
            "GB_DEMO_SLOW_START": "2",
        },
    ),
    "real": (
        REAL | {"botserver_vault_ca_file": "/ca.crt"},
        {
            "PORT": "8080", "BOTSERVER_ENV": "production", "BOTSERVER_DISABLE_TLS": "true", "SKIP_LLM_SERVER": "true",
            "TOKIO_WORKER_THREADS": "64", "DATA_DIR": "/opt/gbo/data", "GBO_WORK_PATH": "/opt/gbo/work",
            "VAULT_ADDR": "https://vault.example:8200", "VAULT_TOKEN": "s.read",
            "VAULT_CACERT": "/opt/gbo/conf/system/certificates/ca/ca.crt",
        },
    ),
    "demo with the cluster": (
        DEMO | CLUSTER,
        {
            "PORT": "8080", "BOTSERVER_ENV": "production", "GB_DEMO_STANDALONE": "true", "GBO_WORK_PATH": "/opt/gbo/work",
            "DATABASE_URL": "postgres://gbuser@127.0.0.1:5432/botserver",
            "GB_SECRETS": mark(**{"gbo/tables": TABLES | {"password": "OnlyInVault1"}}),
        },
    ),
    "demo with the cluster and another password": (
        DEMO | CLUSTER | {"postgres_user_password": "Another1"},
        {
            "PORT": "8080", "BOTSERVER_ENV": "production", "GB_DEMO_STANDALONE": "true", "GBO_WORK_PATH": "/opt/gbo/work",
            "DATABASE_URL": "postgres://gbuser@127.0.0.1:5432/botserver",
            "GB_SECRETS": mark(**{"gbo/tables": TABLES | {"password": "Another1"}}),
        },
    ),
    "demo with secrets of its own": (
        DEMO | {"botserver_vault_secrets": SECRETS},
        {
            "PORT": "8080", "BOTSERVER_ENV": "production", "GB_DEMO_STANDALONE": "true", "GBO_WORK_PATH": "/opt/gbo/work",
            "GB_SECRETS": mark(**SECRETS),
        },
    ),
}  # fmt: skip


# Variables of the entry point inputs, each with what another image comes out of, or does not.
INPUTS: dict[str, dict[str, t.Any]] = {
    "as it is": {"botserver_binary": "one"},
    "the same elsewhere": {"botserver_binary": "same"},
    "the same with its checksum": {"botserver_binary": "one", "botserver_binary_checksum": "sha256:" + hashlib.sha256(b"1").hexdigest()},
    "another token": {"botserver_binary": "one", "botserver_vault_token": "s.other"},
    "another binary": {"botserver_binary": "other"},
    "another authority": {"botserver_binary": "one", "botserver_vault_ca_file": "other"},
    "another port": {"botserver_binary": "one", "botserver_port": 8090},
    "other endpoints": {"botserver_binary": "one", "endpoints_inputs": "of another authority"},
    "other logs": {"botserver_binary": "one", "botserver_log_size": "1M"},
    "the demo": DEMO,
}
FILES = {"one": "1", "same": "1", "other": "2"}
SAME_IMAGE = ("the same elsewhere", "the same with its checksum", "another token")


class Vault(http.server.BaseHTTPRequestHandler):
    """The three answers of KV version 2 that reading and writing a secret need."""

    secrets: t.ClassVar[dict[str, t.Any]] = {}
    writes: t.ClassVar[list[str]] = []

    def answer(self, status: int, body: t.Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def metadata(self) -> dict[str, t.Any]:
        return {"created_time": "2026-01-01T00:00:00Z", "custom_metadata": None, "deletion_time": "", "destroyed": False, "version": 1}

    def allowed(self) -> bool:
        if self.headers.get("X-Vault-Token") != "s.write":
            self.answer(403, {"errors": ["permission denied"]})
            return False
        return True

    def do_GET(self) -> None:
        if self.path.startswith("/v1/auth/token/lookup-self"):
            self.answer(200, {"data": {"id": "s.write"}})
        elif self.allowed():
            found = self.secrets.get(self.path)
            body: dict[str, t.Any] = {"errors": []} if found is None else {"data": {"data": found, "metadata": self.metadata()}}
            self.answer(404 if found is None else 200, body)

    def do_POST(self) -> None:
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.allowed():
            self.secrets[self.path] = content["data"]
            self.writes.append(self.path)
            self.answer(200, {"data": self.metadata()})

    do_PUT = do_POST

    def log_message(self, format: str, *args: t.Any) -> None:
        """Nothing: the test's output is for its failures."""


def include(entry: str, variables: dict[str, t.Any]) -> dict[str, t.Any]:
    return {
        "name": "Use the role",
        "ansible.builtin.include_role": {"name": "generalbots.scaling.botserver", "tasks_from": entry},
        "vars": {"botserver_vault_addr": "https://vault.example:8200", "botserver_vault_token": "s.read", **variables},
    }


def refusal(name: str, entry: str, variables: dict[str, t.Any]) -> dict[str, t.Any]:
    keep = {"refusals": "{{ refusals | default({}) | combine({case: ansible_failed_result.msg}) }}"}
    return {"vars": {"case": name}, "block": [include(entry, variables)], "rescue": [{"ansible.builtin.set_fact": keep}]}


def computed(name: str, variables: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    keep = {"computed": "{{ computed | default({}) | combine({case: botserver_environment}) }}"}
    return [include("environment", variables), {"ansible.builtin.set_fact": keep, "vars": {"case": name}, "no_log": True}]


def inputs(name: str, variables: dict[str, t.Any], folder: pathlib.Path) -> list[dict[str, t.Any]]:
    paths = {key: str(folder / value) for key, value in variables.items() if value in FILES}
    keep = {"inputs": "{{ inputs | default({}) | combine({case: botserver_inputs}) }}"}
    return [include("inputs", variables | paths), {"ansible.builtin.set_fact": keep, "vars": {"case": name}}]


def play(url: str, folder: pathlib.Path) -> list[dict[str, t.Any]]:
    """The whole playbook; it writes what it saw to result.json."""
    vault = {"botserver_vault_addr": url, "botserver_vault_write_token": "s.write", "botserver_vault_secrets": SECRETS}
    changed = SECRETS | {"gbo/cache": {"password": "y"}}
    tasks = [refusal(name, entry, variables) for name, (entry, variables, _) in REFUSED.items()]
    tasks += [task for name, (variables, _) in COMPUTED.items() for task in computed(name, variables)]
    tasks += [task for name, variables in INPUTS.items() for task in inputs(name, variables, folder)]
    tasks += [include("vault", {"botserver_vault_secrets": {}, "botserver_vault_addr": ""})]
    tasks += [include("vault", vault), include("vault", vault), include("vault", vault | {"botserver_vault_secrets": changed})]
    tasks += [include("vault", vault | CLUSTER | {"botserver_vault_secrets": {}, "botserver_vault_mount": "cluster"})]
    result = "{{ {'refusals': refusals, 'computed': computed, 'inputs': inputs} | to_json }}"
    tasks.append({"ansible.builtin.copy": {"content": result, "dest": str(folder / "result.json"), "mode": "0600"}, "no_log": True})
    python = {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    return [{"hosts": "localhost", "gather_facts": False, "vars": python, "tasks": tasks}]


class Run(t.NamedTuple):
    output: str
    refusals: dict[str, str]
    computed: dict[str, dict[str, str]]
    inputs: dict[str, dict[str, t.Any]]
    secrets: dict[str, t.Any]
    writes: list[str]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Everything in one run of ansible-playbook, for a start of it costs as much as all cases together."""
    folder = tmp_path_factory.mktemp("role")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Vault)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, content in FILES.items():
        (folder / name).write_text(content)
    (folder / "play.json").write_text(json.dumps(play(f"http://127.0.0.1:{server.server_port}", folder)))
    (folder / "ansible.cfg").write_text("[defaults]\n")
    environment = os.environ | {"ANSIBLE_CONFIG": str(folder / "ansible.cfg"), "ANSIBLE_LOCALHOST_WARNING": "false"}
    command = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-vvv", "-c", "local", str(folder / "play.json")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    server.shutdown()
    server.server_close()
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    result = json.loads((folder / "result.json").read_text())
    return Run(output, result["refusals"], result["computed"], result["inputs"], Vault.secrets, Vault.writes)


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_and_says_why(run: Run, name: str) -> None:
    assert REFUSED[name][2] in run.refusals.get(name, "was not refused")


@pytest.mark.parametrize("name", COMPUTED)
def test_computes_the_environment(run: Run, name: str) -> None:
    assert run.computed[name] == COMPUTED[name][1]


@pytest.mark.parametrize("name", [name for name in INPUTS if name != "as it is"])
def test_an_image_is_known_by_the_content_of_what_it_is_made_of(run: Run, name: str) -> None:
    assert (run.inputs[name] == run.inputs["as it is"]) == (name in SAME_IMAGE)


def test_vault_has_the_secrets_under_the_mount(run: Run) -> None:
    there = {path: secret for path, secret in run.secrets.items() if path.startswith("/v1/secret/")}
    assert there == {"/v1/secret/data/gbo/tables": SECRETS["gbo/tables"], "/v1/secret/data/gbo/cache": {"password": "y"}}


def test_botserver_is_told_of_its_loopback_and_of_no_member(run: Run) -> None:
    tables = {"host": "127.0.0.1", "port": "5432", "database": "botserver", "username": "gbuser", "password": "OnlyInVault1"}
    assert {path: there for path, there in run.secrets.items() if "/cluster/" in path} == {"/v1/cluster/data/gbo/tables": tables}


def test_vault_is_written_only_where_it_differs(run: Run) -> None:
    writes = [path.removeprefix("/v1/secret/data/") for path in run.writes if path.startswith("/v1/secret/")]
    assert writes == ["gbo/tables", "gbo/cache", "gbo/cache"]


@pytest.mark.parametrize("secret", ["Abc-123_~", "s.read", "s.write", "never@shown", "OnlyInVault1"])
def test_no_secret_stands_in_the_output_of_the_role(run: Run, secret: str) -> None:
    lines = [line for line in run.output.splitlines() if secret in line]
    assert lines == []


@pytest.mark.parametrize(
    ("address", "starts"),
    [
        ("https://vault.example:8200", True), ("http://10.0.0.9:8200", True), ("http://[fd00::9]:8200", True),
        ("", False), (None, False), ("vault:8200", False), ("http://", False), ("http://localhost:8200", False),
        ("https://vault.localhost", False), ("http://127.0.0.1:8200", False), ("http://127.1.2.3:8200", False),
        ("http://0.0.0.0:8200", False), ("http://[::1]:8200", False), ("http://[::]:8200", False),
    ],
)  # fmt: skip
def test_the_unit_asks_for_a_vault_on_another_machine(address: str | None, starts: bool) -> None:
    environment = {} if address is None else {"VAULT_ADDR": address}
    done = subprocess.run(["/bin/sh", str(ROLE / "files/gb-require-vault")], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, "private stack" in done.stderr) == ((0, False) if starts else (1, True))


@pytest.mark.parametrize("demo", [True, False])
def test_only_the_real_program_is_asked_for_a_vault(demo: bool) -> None:
    unit = (ROLE / "templates/botserver.service.j2").read_text()
    text = jinja2.Environment(trim_blocks=True).from_string(_without_filters(unit)).render(botserver_demo=demo, botserver_home="/opt/gbo")
    lines = [line for line in text.splitlines() if line.startswith("Exec")]
    condition = [] if demo else ["ExecCondition=/opt/gbo/bin/gb-require-vault"]
    assert lines == [*condition, "ExecStart=/opt/gbo/bin/botserver"]


def _without_filters(template: str) -> str:
    """What Ansible adds to Jinja2 and this unit uses."""
    return template.replace(" | bool", "")
