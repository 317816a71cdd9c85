# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """Connection options of the modules that speak to LXD."""

    DOCUMENTATION = r"""
options:
  engine:
    description:
      - The container engine that is spoken to.
    type: str
    choices: [lxd, incus]
    default: lxd
  url:
    description:
      - Where the engine listens, V(unix:/path/to/unix.socket) or V(https://host:8443).
      - Without it, the engine's well-known unix sockets are tried in turn.
    type: str
  project:
    description:
      - The project that everything is read from and written to. Nothing outside of it is ever touched.
    type: str
    default: generalbots
  client_cert:
    description:
      - Path of the client certificate, for an C(https) address.
    type: path
  client_key:
    description:
      - Path of the client certificate's key.
    type: path
  server_cert:
    description:
      - Path of the server's certificate. The connection is refused if the server shows any other.
    type: path
  timeout:
    description:
      - Seconds that a single request may take. Operations such as a start have limits of their own.
    type: int
    default: 30
requirements:
  - pylxd >= 2.4.2
"""

    # Of the modules that start and stop instances.
    RUN = r"""
options:
  wait_for:
    description:
      - What a started instance is waited for. V(address), an IPv4 address on O(nic). V(boot), systemd has booted.
      - Time running out is a failure that says what was last seen.
    type: list
    elements: str
    choices: [address, boot]
    default: [address]
  wait_timeout:
    description: Seconds to wait for O(wait_for).
    type: int
    default: 60
  nic:
    description: The network card whose address is waited for.
    type: str
    default: eth0
  stop_timeout:
    description: Seconds that a graceful stop may take.
    type: int
    default: 60
  force_stop:
    description: Kill an instance that did not stop within O(stop_timeout). Otherwise that is a failure.
    type: bool
    default: false
  limits_best_effort:
    description: Run without a limit that the host's kernel cannot apply, and warn. Otherwise that is a failure.
    type: bool
    default: false
  operation_timeout:
    description: Seconds that a single creation, start or deletion may take.
    type: int
    default: 120
  parallel:
    description: How many instances are worked on at once.
    type: int
    default: 8
"""

    # Of the modules that make instances of the fleet.
    FLEET = r"""
options:
  subnet:
    description: The network of the bridge in CIDR notation. The address of slot n is the network's plus 100 + n.
    type: str
    required: true
  network:
    description: The bridge that the instances are connected to.
    type: str
    required: true
  image:
    description:
      - Alias of the golden image that new instances are made from.
      - Without it, the one that M(generalbots.scaling.lxc_image) set for the project.
    type: str
  image_version:
    description: Version of that image, which is kept with each instance made from it.
    type: str
    default: ""
  limits:
    description: Limits of every instance.
    type: dict
    suboptions:
      cpu:
        description: Number of cores, or a set such as V(0-3).
        type: str
      cpu_allowance:
        description: A slice of time such as V(25ms/100ms), which is a hard limit, or a share such as V(50%).
        type: str
      memory:
        description: Memory such as V(512MiB).
        type: str
      disk_priority:
        description: Priority on the disks, 0 to 10.
        type: int
      ingress:
        description: Rate of incoming traffic such as V(100Mbit).
        type: str
      egress:
        description: Rate of outgoing traffic such as V(100Mbit).
        type: str
  environment:
    description:
      - The environment of botserver. It is written into each instance before it starts, never into LXD's configuration.
      - Without it, the file is not looked at.
    type: dict
  environment_path:
    description: Where in the instance the environment file is.
    type: path
    default: /opt/gbo/bin/.env
  firewall_rules:
    description:
      - What an instance loads into nftables when it starts, as P(generalbots.scaling.exposure_rules#filter) makes it. Written into each
        instance that does not run; in running ones it is left to the role C(firewall), which loads it as well.
      - Without it, what the table of the collection allows a botserver.
    type: str
  port:
    description: The port that botserver listens on.
    type: int
    default: 8080
  proxy_port_base:
    description:
      - Publish every instance on the host as well, at this port plus its slot. Such a port bypasses the load balancer with all its limits.
      - Without it, or with another one, what was published before is published no longer.
    type: int
  proxy_listen:
    description: The host's address for O(proxy_port_base).
    type: str
    default: 127.0.0.1
  drain_timeout:
    description: Seconds from now until the deadline that a drain sets.
    type: int
    default: 300
"""
