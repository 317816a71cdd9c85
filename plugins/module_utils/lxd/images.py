# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images: imported from files or published from an instance, known by an alias that carries their version.

Images are shared between projects. Which one new instances of a component are made from is therefore no property of the
image but a key of the project, so that two deployments on one host never change each other's.
"""

from __future__ import annotations

import dataclasses
import typing as t
from urllib.parse import urlencode

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ApiError, InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import Lxd
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.store import edit
from ansible_collections.generalbots.scaling.plugins.module_utils.plan import Action, Plan

COMPONENT = "gb.component"
VERSION = "gb.version"
STATES = ("present", "absent")


def image_key(component: str) -> str:
    """The project's key that names the image of a component."""
    return f"user.gb.image.{component}"


@dataclasses.dataclass(frozen=True)
class ImageSpec:
    """An image as it is wanted. Exactly one source is given when it has to be made.

    :param use: make it the image that new instances of the component are made from, in this project
    :param prune: delete older images of the component that nothing uses any more
    """

    component: str
    version: str
    metadata: str = ""
    rootfs: str = ""
    instance: str = ""
    remote: str = ""
    remote_alias: str = ""
    use: bool = True
    prune: bool = False

    @property
    def alias(self) -> str:
        """``gb/<component>/<version>``."""
        return f"gb/{self.component}/{self.version}"


@dataclasses.dataclass(frozen=True)
class Shelf:
    """What is there: the images, and for each project its config."""

    images: t.Sequence[t.Mapping[str, t.Any]]
    projects: t.Mapping[str, t.Mapping[str, str]]
    in_use: frozenset[str]
    project: str

    def by_alias(self, alias: str) -> t.Mapping[str, t.Any] | None:
        """The image of that alias, or None."""
        return next((image for image in self.images if alias in aliases(image)), None)

    def nameless(self, spec: ImageSpec) -> t.Mapping[str, t.Any] | None:
        """An image of that component and version without any alias: a run was broken off before it could name it."""
        wanted = {COMPONENT: spec.component, VERSION: spec.version}.items()
        return next((image for image in self.images if not aliases(image) and wanted <= (image.get("properties") or {}).items()), None)

    def wanted_by_a_project(self, image: t.Mapping[str, t.Any]) -> bool:
        """Whether any project makes its instances from it."""
        named = {value for config in self.projects.values() for key, value in config.items() if key.startswith(image_key(""))}
        return bool(named & set(aliases(image)))


def aliases(image: t.Mapping[str, t.Any]) -> list[str]:
    """The names of an image."""
    return [alias["name"] for alias in image.get("aliases") or ()]


def observe(lxd: Lxd) -> Shelf:
    """Read images, projects, and which images the instances of this project were made from."""
    images, _etag = lxd.get("images", recursion="1")
    projects, _etag = lxd.get("projects", recursion="1")
    instances, _etag = lxd.get("instances", recursion="1")
    used = frozenset(item["config"].get("volatile.base_image", "") for item in instances or ())
    return Shelf(images or (), {item["name"]: item["config"] for item in projects or ()}, used, lxd.project)


def plan(spec: ImageSpec, shelf: Shelf, state: str) -> Plan:
    """What has to be done; raises InvalidInput where an image must be made and no source, or more than one, is given."""
    wanted = Plan()
    found, nameless = shelf.by_alias(spec.alias), shelf.nameless(spec)
    if state == "absent":
        for image in filter(None, (found, nameless)):
            _delete(wanted, image, "it shall be absent")
        return wanted
    if found is None and nameless is not None:
        wanted.differ(f"image {spec.alias}", "made and not named", "named")
        wanted.act("name", spec.alias, nameless["fingerprint"][:12], fingerprint=nameless["fingerprint"])
    elif found is None:
        _plan_make(wanted, spec)
    key = image_key(spec.component)
    now = shelf.projects.get(shelf.project, {}).get(key)
    if spec.use and wanted.differ(f"project {shelf.project} {key}", now, spec.alias):
        wanted.act("use", shelf.project, spec.alias, key=key, value=spec.alias)
    if spec.prune:
        for image in shelf.images:
            if _is_old(image, spec) and image["fingerprint"] not in shelf.in_use and not _still_wanted(image, spec, shelf):
                _delete(wanted, image, "nothing uses it any more")
    return wanted


def _plan_make(wanted: Plan, spec: ImageSpec) -> None:
    sources = {"import": spec.rootfs, "publish": spec.instance, "copy": spec.remote}
    given = [verb for verb, source in sources.items() if source]
    if len(given) != 1:
        raise InvalidInput(
            f"There is no image {spec.alias}, and it can be made from exactly one of metadata with rootfs, instance, and remote. "
            f"Given: {', '.join(sources[verb] for verb in given) or 'none'}."
        )
    wanted.differ(f"image {spec.alias}", "absent", f"{given[0]} of {sources[given[0]]}")
    wanted.act(given[0], spec.alias, f"from {sources[given[0]]}", spec=spec)


def _delete(wanted: Plan, image: t.Mapping[str, t.Any], why: str) -> None:
    name = (aliases(image) or [image["fingerprint"][:12]])[0]
    wanted.differ(f"image {name}", "present", "absent")
    wanted.act("delete", name, why, fingerprint=image["fingerprint"])


def _is_old(image: t.Mapping[str, t.Any], spec: ImageSpec) -> bool:
    properties = image.get("properties") or {}
    return properties.get(COMPONENT) == spec.component and properties.get(VERSION) != spec.version


def _still_wanted(image: t.Mapping[str, t.Any], spec: ImageSpec, shelf: Shelf) -> bool:
    """Whether a project other than this one, which is about to change, makes its instances from it."""
    others = {name: config for name, config in shelf.projects.items() if name != shelf.project or not spec.use}
    return dataclasses.replace(shelf, projects=others).wanted_by_a_project(image)


def execute(lxd: Lxd, wanted: Plan, timeout: float) -> None:
    """Carry the plan out; ``timeout`` is seconds for one import or publication."""
    for action in wanted.actions:
        if action.verb == "use":
            edit(lxd, f"projects/{action.target}", _setting(action.detail["key"], action.detail["value"]))
        elif action.verb == "delete":
            lxd.delete(f"images/{action.detail['fingerprint']}", timeout=timeout)
        elif action.verb == "name":
            _name(lxd, action.target, action.detail["fingerprint"])
        else:
            _make(lxd, action, timeout)


def _setting(key: str, value: str) -> t.Callable[[t.Mapping[str, str]], t.Mapping[str, str | None]]:
    return lambda _before: {key: value}


def _make(lxd: Lxd, action: Action, timeout: float) -> None:
    spec: ImageSpec = action.detail["spec"]
    properties = {COMPONENT: spec.component, VERSION: spec.version, "description": f"General Bots {spec.component} {spec.version}"}
    if action.verb == "import":
        made = lxd.import_image(spec.metadata, spec.rootfs, urlencode(properties), timeout=timeout)
    else:
        body = {"source": _source(spec, action.verb), "properties": properties, "compression_algorithm": "zstd"}
        made = lxd.post("images", body, timeout=timeout)
    _name(lxd, spec.alias, made["fingerprint"])


def _source(spec: ImageSpec, verb: str) -> dict[str, str]:
    if verb == "publish":
        return {"type": "instance", "name": spec.instance}
    return {"type": "image", "mode": "pull", "server": spec.remote, "protocol": "simplestreams", "alias": spec.remote_alias}


def _name(lxd: Lxd, alias: str, fingerprint: str) -> None:
    try:
        lxd.post("images/aliases", {"name": alias, "target": fingerprint})
    except ApiError as error:
        raise ApiError(f"The image {fingerprint[:12]} was made, but could not be named {alias}: {error}", status=error.status) from error
