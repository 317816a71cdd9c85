# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Prometheus, the distribution's, that scrapes LXD with the certificate of control-1 as long as tests need it."""

from __future__ import annotations

import os
import pathlib
import shutil
import socket
import subprocess
import typing as t

import pytest
import requests
import yaml
from autoscale_site import PROJECT, WORK, Site
from scenario import ROOT

from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for

ETC = "/etc/generalbots"


def program() -> str:
    """Prometheus itself; unpacked from the distribution's package where it is not installed."""
    subprocess.run([str(ROOT / "tools/programs.sh"), "prometheus"], check=True, stdout=subprocess.DEVNULL)
    return shutil.which("prometheus") or str(ROOT / ".build/programs/prometheus")


def configuration(site: Site, folder: pathlib.Path) -> pathlib.Path:
    """What it scrapes: LXD's metrics of the project, where control-1 reaches LXD and as it does."""
    for name in ("lxd.crt", "lxd.key", "lxd-server.crt"):
        content = site.lxd.read_file("control-1", f"{ETC}/{name}")
        assert content, f"control-1 has no {name}"
        with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            stream.write(content)
    trust = {"ca_file": "lxd-server.crt", "cert_file": "lxd.crt", "key_file": "lxd.key"}
    target = site.lxd.get("instances/control-1")[0]["devices"]["lxd-api"]["connect"].removeprefix("tcp:")
    scraped = {
        "job_name": "lxd", "scheme": "https", "metrics_path": "/1.0/metrics", "params": {"project": [PROJECT]}, "tls_config": trust,
        "static_configs": [{"targets": [target]}],
    }  # fmt: skip
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump({"global": {"scrape_interval": "2s"}, "scrape_configs": [scraped]}))
    return file


@pytest.fixture
def prometheus(site: Site) -> t.Iterator[str]:
    """The address of a Prometheus that has LXD's metrics."""
    folder = WORK / "prometheus"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    command = [program(), f"--config.file={configuration(site, folder)}", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "log").open("w") as log, subprocess.Popen(
        [*command, f"--web.listen-address={url.removeprefix('http://')}"], stdout=log, stderr=subprocess.STDOUT
    ) as process:  # fmt: skip
        try:
            wait_for("Prometheus to scrape LXD", lambda: scrape(url), lambda seen: seen == "up", timeout=60, interval=0.5)
            yield url
        finally:
            process.terminate()
            process.wait(timeout=30)


def scrape(url: str) -> str:
    """The health of its one target, or why it does not say."""
    try:
        targets = requests.get(f"{url}/api/v1/targets", timeout=5).json()["data"]["activeTargets"]
    except (requests.RequestException, ValueError) as error:
        return str(error)
    return "; ".join(one["lastError"] or one["health"] for one in targets)
