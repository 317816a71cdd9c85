# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the reference pages of docs/ from their sources; with ``--check`` only say which are stale (exit status 1).

Modules and plugins come from their own documentation as ansible-doc sees it, roles from their argument specs, the
settings page from tools/settings_page.py, the network page from the table of who may speak to whom, the page on Caddy from what a site
may have. A page whose source is gone is removed.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import typing as t

import jinja2
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
COLLECTION = "generalbots.scaling"
FOLDERS = {"module": "modules", "lookup": "plugins", "inventory": "plugins", "filter": "plugins", "connection": "plugins"}
# Where the pages of each kind stand, in the order of the index.
CHAPTERS = {"modules": "Modules", "plugins": "Plugins", "roles": "Roles"}

_MARKUP = re.compile(r"\b(RV|[OVCEMPBIUR])\(((?:[^()\\]|\\.|\([^()]*\))*)\)")
_LINK = re.compile(r"\bL\(([^,()]+),\s*([^)]+)\)")


def markdown(text: str) -> str:
    """Ansible's markup of a description as Markdown.

    >>> markdown("See O(state=present), M(a.b.c) and L(the manual, https://example.org).")
    'See `state=present`, `a.b.c` and [the manual](https://example.org).'
    """

    def render(match: re.Match[str]) -> str:
        kind, inner = match[1], re.sub(r"\\(.)", r"\1", match[2])
        if kind in ("O", "RV"):  # the plugin it belongs to may stand before the name
            inner = inner.rsplit(":", 1)[-1] if "#" in inner else inner
        if kind in ("P", "R"):
            inner = re.split(r"[#,]", inner)[0]
        return {"B": f"**{inner}**", "I": f"*{inner}*", "U": f"<{inner}>", "R": inner}.get(kind, f"`{inner}`")

    return _LINK.sub(r"[\1](\2)", _MARKUP.sub(render, text))


def sentences(text: str | t.Sequence[str]) -> str:
    """A description, one string or a list of them, as one line of Markdown."""
    parts = [text] if isinstance(text, str) else text
    return " ".join(markdown(" ".join(part.split())) for part in parts)


def cell(text: str) -> str:
    """``text`` as it may stand in a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def literal(value: t.Any) -> str:
    """A default or a choice as it is written in YAML."""
    return value if isinstance(value, str) and value else json.dumps(value)


def flatten(options: t.Mapping[str, t.Any], below: str = "", inner: str = "options") -> t.Iterator[tuple[str, t.Mapping[str, t.Any]]]:
    """Options, or returned values with ``inner="contains"``, and those inside them, under dotted names and in order of name."""
    for name in sorted(options):
        yield below + name, options[name]
        yield from flatten(options[name].get(inner) or options[name].get("suboptions") or {}, f"{below}{name}.", inner)


def _environment() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(ROOT / "tools" / "templates")
    environment = jinja2.Environment(loader=loader, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    environment.undefined = jinja2.StrictUndefined
    environment.filters.update(sentences=sentences, cell=cell, literal=literal, flatten=flatten)
    return environment


def _ansible_doc(*arguments: str) -> dict[str, t.Any]:
    command = [str(pathlib.Path(sys.executable).parent / "ansible-doc"), "--json", *arguments]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build" / "collections"), "ANSIBLE_NOCOLOR": "1"}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if run.returncode:
        raise SystemExit(f"{' '.join(command)} failed with {run.returncode}:\n{run.stderr}")
    return t.cast("dict[str, t.Any]", json.loads(run.stdout))


def plugin_pages(environment: jinja2.Environment) -> t.Iterator[tuple[str, str, str]]:
    """Folder, name and text of each page of a module or plugin."""
    template = environment.get_template("plugin.md.j2")
    for kind, folder in FOLDERS.items():
        names = sorted(_ansible_doc("--type", kind, "--list", COLLECTION))
        for full_name, entry in (_ansible_doc("--type", kind, *names) if names else {}).items():
            more = {"examples": entry["examples"] or "", "returned": entry["return"] or {}}
            yield folder, full_name.rsplit(".", 1)[1], template.render(name=full_name, kind=kind, doc=entry["doc"], **more)


def with_defaults(specs: dict[str, t.Any], defaults: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The entry points with each default: a spec of another type than text cannot name one that is a template."""

    def complete(name: str, option: dict[str, t.Any]) -> dict[str, t.Any]:
        return {"default": defaults[name], **option} if name in defaults else option

    return {
        entry_point: {**spec, "options": {name: complete(name, option) for name, option in (spec.get("options") or {}).items()}}
        for entry_point, spec in specs.items()
    }


def role_pages(environment: jinja2.Environment) -> t.Iterator[tuple[str, str, str]]:
    """The same for roles."""
    template = environment.get_template("role.md.j2")
    for path in sorted(ROOT.glob("roles/*/meta/argument_specs.yml")):
        role = path.parent.parent.name
        specs = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]
        defaults_file = path.parent.parent / "defaults" / "main.yml"
        defaults = yaml.safe_load(defaults_file.read_text(encoding="utf-8")) if defaults_file.exists() else None
        text = template.render(name=f"{COLLECTION}.{role}", role=role, entry_points=with_defaults(specs, defaults or {}))
        yield "roles", role, text


def network_page(environment: jinja2.Environment) -> str:
    """The chapter on who may speak to whom, from the table that the rules of nftables are made of."""
    sys.path.append(str(ROOT / ".build" / "collections"))
    from ansible_collections.generalbots.scaling.plugins.module_utils.exposure import table
    from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.addresses import RANGES, VIRTUAL

    doors = [(door.to, _door_ports(door, table.PORTS), ", ".join(door.sources), door.purpose) for door in table.DOORS]
    return environment.get_template("network.md.j2").render(doors=doors, components=table.COMPONENTS, ranges=RANGES, virtual=VIRTUAL)


def _door_ports(door: t.Any, variables: t.Mapping[str, tuple[str, int]]) -> str:
    ports = [f"{variables[port][1]} (`{variables[port][0]}`)" if port in variables else str(port) for port in door.ports]
    return f"{', '.join(ports)} {door.protocol}".strip()


def caddy_page(environment: jinja2.Environment) -> str:
    """The chapter on the load balancer, from the options of a route and what limits are counted by."""
    sys.path.append(str(ROOT / ".build" / "collections"))
    from ansible_collections.generalbots.scaling.plugins.module_utils.caddy import policies, site_limits, site_options, site_routes

    routes = yaml.safe_load((ROOT / "roles/gb/defaults/main.yml").read_text(encoding="utf-8"))["gb_routes"]
    return environment.get_template("caddy.md.j2").render(
        help=site_options.ROUTE_HELP,
        routes=routes,
        keys=site_limits.KEYS,
        paths=site_limits.PATHS,
        policies=policies.POLICY_HELP,
        harmless=site_routes.HARMLESS,
        body_headers=site_routes.BODY,
        same_slot=site_routes.SAME_SLOT,
    )


def pages() -> dict[pathlib.Path, str]:
    """Every page that this program makes, by its path."""
    environment = _environment()
    found = [*plugin_pages(environment), *role_pages(environment)]
    made = {ROOT / "docs" / folder / f"{name}.md": text for folder, name, text in found}
    chapters = {title: sorted((name, folder) for folder, name, _text in found if folder == chapter) for chapter, title in CHAPTERS.items()}
    made[ROOT / "docs" / "reference.md"] = environment.get_template("index.md.j2").render(chapters=chapters)
    made[ROOT / "docs" / "network.md"] = network_page(environment)
    made[ROOT / "docs" / "caddy.md"] = caddy_page(environment)
    return {path: text.rstrip("\n") + "\n" for path, text in made.items()}


def main(arguments: t.Sequence[str] | None = None) -> int:
    """Write or check; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 when a page is stale")
    check: bool = parser.parse_args(arguments).check
    made = pages()
    stale = [path for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    gone = [path for folder in CHAPTERS for path in sorted(ROOT.glob(f"docs/{folder}/*.md")) if path not in made]
    for path in [*stale, *gone]:
        print(f"{path.relative_to(ROOT)}: {'stale, run make docs' if check else 'removed' if path in gone else 'written'}")
    if not check:
        for path in stale:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(made[path], encoding="utf-8")
        for path in gone:
            path.unlink()
    settings = subprocess.run([sys.executable, str(ROOT / "tools" / "settings_page.py"), *(["--check"] if check else [])], check=False)
    return int(bool(check and (stale or gone)) or settings.returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
