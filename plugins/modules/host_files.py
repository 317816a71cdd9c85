#!/usr/bin/python
# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_files
short_description: Have several files and folders on a host, with one look at what is there
version_added: "0.1.0"
author:
  - The generalbots.scaling contributors (@generalbots)
description:
  - Asks the host once for all of them, and hands only those that are not as they should be to M(ansible.builtin.copy) and
    M(ansible.builtin.file), in the order given.
  - So a run that has nothing to do costs one call of a module instead of two for each file.
extends_documentation_fragment:
  - generalbots.scaling.attributes
  - generalbots.scaling.attributes.actiongroup_scaling
  - generalbots.scaling.attributes.full
options:
  files:
    description:
      - The files and folders. Of O(files[].content), O(files[].src) and O(files[].template) a file has one, and a folder none.
    type: list
    elements: dict
    required: true
    suboptions:
      dest:
        description: Its absolute path on the host.
        type: path
        required: true
      content:
        description: The content.
        type: str
      src:
        description: A file on the controller with the content, where C(copy) would look for it.
        type: path
      template:
        description: A template on the controller that gives the content, where C(template) would look for it.
        type: path
      owner:
        description: The user to whom it belongs.
        type: str
        default: root
      group:
        description: Its group.
        type: str
        default: root
      mode:
        description:
          - Its permissions, as an octal number of three or four digits, best in quotes. By default V(0644), and V(0755) of a folder.
        type: raw
      validate:
        description: A command that says whether the content is good, before it is placed. C(%s) stands for the file.
        type: str
      secret:
        description: Whether its content is left out of what C(--diff) shows.
        type: bool
        default: false
  unit:
    description:
      - The systemd unit that reads the files when it is started or reloaded.
      - Where it is active, and was so before one of them was placed, the task counts as changed although nothing is to be placed. So a
        handler does what a run that was killed did not come to.
    type: str
"""

EXAMPLES = r"""
- name: Have what the service runs with
  generalbots.scaling.host_files:
    files:
      - dest: /etc/example
        mode: "0750"
      - dest: /etc/example/config.yml
        template: config.yml.j2
        validate: example --check %s
      - dest: /etc/example/key.pem
        src: key.pem
        mode: "0600"
        secret: true
    unit: example.service
  notify: Reload the service
"""

RETURN = r"""
placed:
  description: The paths that were not as they should be.
  returned: always
  type: list
  elements: str
  sample: [/etc/example/config.yml]
unread:
  description:
    - The files that were placed by an earlier run and that O(unit) has not read since, without those that are in RV(placed). Where systemd
      has not read O(unit) itself, the unit's own file is one of them.
  returned: where O(unit) is given
  type: list
  elements: str
  sample: []
"""

# What it does is in plugins/action/host_files.py.
