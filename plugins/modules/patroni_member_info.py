#!/usr/bin/python
# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_member_info
short_description: Look at a member of a Patroni cluster before Patroni is started
version_added: "0.1.0"
author:
  - The generalbots.scaling contributors (@generalbots)
description:
  - Reads the data directory of this host and what etcd knows of the cluster, and says why the two do not go together, such as a database
    of another origin or major version, a name or a scope that is taken, or a disk that is nearly full.
  - The folders of other versions beside the data directory, such as C(/var/lib/postgresql/*/main), are read too. A database there counts
    if it is the cluster's, by its system identifier, or by Patroni's configuration where etcd knows none.
  - It needs no running Patroni, and runs as a user that may read the data directory.
extends_documentation_fragment:
  - generalbots.scaling.attributes
  - generalbots.scaling.attributes.info_module
  - generalbots.scaling.attributes.actiongroup_scaling
options:
  scope:
    description: The name of the cluster.
    type: str
    required: true
  namespace:
    description: The folder of Patroni's keys in etcd.
    type: str
    default: /service/
  data_dir:
    description: The data directory.
    type: path
    required: true
  config_file:
    description: Patroni's configuration, as it was written for this host before. It need not be there.
    type: path
    default: /etc/patroni/config.yml
  version:
    description: The major version of PostgreSQL that the data must be of.
    type: str
    required: true
  members:
    description: Every member there may be, each name with its address.
    type: dict
    required: true
  minimum_free:
    description: MiB that must be free on the disk of the data.
    type: int
    default: 0
  etcd_endpoints:
    description:
      - Client URLs of etcd's members, such as V(https://10.87.0.21:2379). One that answers is enough.
    type: list
    elements: str
    required: true
  etcd_ca_file:
    description: Path of the authority's certificate.
    type: path
  etcd_client_cert:
    description: Path of the certificate to show.
    type: path
  etcd_client_key:
    description: Path of that certificate's key.
    type: path
  timeout:
    description: Seconds for each request.
    type: int
    default: 5
requirements:
  - requests
seealso:
  - module: generalbots.scaling.patroni_cluster_info
"""

EXAMPLES = r"""
- name: Look at this member
  generalbots.scaling.patroni_member_info:
    scope: generalbots
    data_dir: /var/lib/postgresql/15/main
    version: 15
    members: {postgres-1: 10.87.0.31}
    etcd_endpoints: [https://10.87.0.21:2379]
    etcd_ca_file: /etc/patroni/etcd-ca.crt
    etcd_client_cert: /etc/patroni/etcd.crt
    etcd_client_key: /etc/patroni/etcd.key
  register: member
"""

RETURN = r"""
data:
  description: The data directory.
  type: dict
  returned: always
  contains:
    state:
      description: V(absent), V(empty), V(cluster) for a database, V(part) for what a copy has brought so far, V(other) for anything else.
      type: str
    version:
      description: The database's major version.
      type: str
    system:
      description: The database's system identifier.
      type: str
    free_mib:
      description: MiB that are free on its disk.
      type: int
others:
  description: Databases of this host that are not in the data directory, whether they are the cluster's or not.
  type: list
  elements: dict
  returned: always
  contains:
    folder:
      description: Where it is.
      type: str
    version:
      description: Its major version.
      type: str
    system:
      description: Its system identifier.
      type: str
    configured:
      description: Whether Patroni was configured with it.
      type: bool
store:
  description: What etcd knows of the cluster.
  type: dict
  returned: always
  contains:
    initialized:
      description: Whether a database was ever made for it.
      type: bool
    system:
      description: The system identifier of that database.
      type: str
    leader:
      description: Name of the member that leads; empty if none does.
      type: str
    members:
      description: Members that run, each name with its host.
      type: dict
problems:
  description: Why Patroni must not be started here; empty if nothing speaks against it.
  type: list
  elements: str
  returned: always
"""

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.generalbots.scaling.plugins.module_utils.etcd.client import Etcd, Tls
from ansible_collections.generalbots.scaling.plugins.module_utils.module import ArgumentSpec, run
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.member import (
    Expected,
    problems,
    read_data,
    read_name,
    read_others,
    read_store,
)

SPEC = ArgumentSpec(
    options={
        "scope": {"type": "str", "required": True},
        "namespace": {"type": "str", "default": "/service/"},
        "data_dir": {"type": "path", "required": True},
        "config_file": {"type": "path", "default": "/etc/patroni/config.yml"},
        "version": {"type": "str", "required": True},
        "members": {"type": "dict", "required": True},
        "minimum_free": {"type": "int", "default": 0},
        "etcd_endpoints": {"type": "list", "elements": "str", "required": True},
        "etcd_ca_file": {"type": "path"},
        "etcd_client_cert": {"type": "path"},
        "etcd_client_key": {"type": "path", "no_log": False},
        "timeout": {"type": "int", "default": 5},
    },
    required_together=[("etcd_client_cert", "etcd_client_key")],
)


def body(module: AnsibleModule) -> dict[str, t.Any]:
    """Read the disk and etcd, and compare."""
    params = module.params
    tls = Tls(params["etcd_ca_file"], params["etcd_client_cert"], params["etcd_client_key"])
    data, others = read_data(params["data_dir"]), read_others(params["data_dir"], params["config_file"])
    store = read_store(Etcd(params["etcd_endpoints"], tls, params["timeout"]), params["namespace"], params["scope"])
    name = read_name(params["config_file"])
    expected = Expected(params["scope"], params["version"], params["minimum_free"], params["members"], name)
    return {
        "data": dataclasses.asdict(data),
        "others": [dataclasses.asdict(other) for other in others],
        "store": {**dataclasses.asdict(store), "initialized": store.initialized},
        "problems": problems(data, store, expected, params["data_dir"], others),
    }


def main() -> None:
    """Entry point of the module."""
    run(SPEC, body)


if __name__ == "__main__":
    main()
