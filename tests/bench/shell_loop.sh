#!/usr/bin/env bash
# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# shell_loop.sh PROJECT
# How a shell script reads the fleet: one `lxc exec` per running container, the load average times 100 taken for a percentage.
# Prints the number of containers and their mean. What is wrong with that measure is not the point here, only what it costs.
set -euo pipefail
project=$1
count=0 total=0
for name in $(lxc --project "$project" list status=running -c n --format csv | grep botserver); do
    share=$(lxc --project "$project" exec "$name" -- cat /proc/loadavg | awk '{ printf "%d", $1 * 100 }')
    count=$((count + 1)) total=$((total + share))
done
echo "$count $((total / count))"
