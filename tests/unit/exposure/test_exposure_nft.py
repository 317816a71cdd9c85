# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One table of nftables in the kernel and on disk, with a stand-in for the program nft."""

from __future__ import annotations

import pathlib
import stat
import typing as t

import pytest

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput, ScalingError
from ansible_collections.generalbots.scaling.plugins.module_utils.exposure.nft import Nft, Wanted, plan_table
from ansible_collections.generalbots.scaling.plugins.module_utils.plan import Plan

TABLE = "inet gb_exposure"
RULES = f"table {TABLE}\ndelete table {TABLE}\ntable {TABLE} {{ one }}\n"


class Kernel:
    """Keeps what nft loaded. ``canonical`` is how the kernel words the rules; ``refusal`` is what nft says against them."""

    def __init__(self) -> None:
        self.loaded: str | None = None
        self.refusal = ""
        self.trial_error = ""
        self.makes = [TABLE]
        self.commands: list[list[str]] = []

    def run(self, argv: t.Sequence[str], text: str) -> tuple[int, str, str]:
        self.commands.append(list(argv))
        argv = [word for word in argv if word != "--stateless"]
        if argv[0] == "unshare":
            return self._trial(text)
        if argv[1] == "list":
            assert list(argv[2:]) == ["table", *TABLE.split()]
            return (0, self.loaded, "") if self.loaded else (1, "", "Error: No such file or directory")
        assert argv[1] == "-f"
        if self.refusal:
            return 1, "", self.refusal
        self.loaded = self.canonical(pathlib.Path(argv[2]).read_text(encoding="utf-8"))
        return 0, "", ""

    def _trial(self, text: str) -> tuple[int, str, str]:
        if self.trial_error:
            return 1, "", self.trial_error
        return 0, "".join(self.canonical(text, table) for table in self.makes), ""

    @staticmethod
    def canonical(text: str, table: str = TABLE) -> str:
        """The rules as this kernel shows them: by their last line, in its own words."""
        return f"table {table} {{\n\t{text.splitlines()[-1].upper()}\n}}\n"


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


def bring(kernel: Kernel, path: pathlib.Path, rules: str = RULES) -> Plan:
    nft, wanted = Nft(kernel.run), Wanted(TABLE, rules, str(path))
    plan = plan_table(wanted, nft.look(wanted))
    nft.carry_out(plan)
    return plan


def test_writes_then_loads_and_a_second_run_changes_nothing(kernel: Kernel, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "rules.nft"
    assert bring(kernel, path).steps() == [f"write {path}", f"load table {TABLE}"]
    assert path.read_text(encoding="utf-8") == RULES
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert not bring(kernel, path).changed
    assert [entry.name for entry in tmp_path.iterdir()] == ["rules.nft"]


def test_a_rule_that_somebody_took_out_by_hand_is_put_back_without_touching_the_file(kernel: Kernel, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "rules.nft"
    bring(kernel, path)
    kernel.loaded = f"table {TABLE} {{\n\topen\n}}\n"
    plan = bring(kernel, path)
    assert plan.steps() == [f"load table {TABLE}"]
    assert plan.diff["before"] == {f"table {TABLE}": f"table {TABLE} {{\n\topen\n}}\n"}
    assert kernel.loaded == Kernel.canonical(RULES)


def test_what_was_never_loaded_is_loaded(kernel: Kernel, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "rules.nft"
    path.write_text(RULES, encoding="utf-8")
    assert bring(kernel, path).steps() == [f"load table {TABLE}"]


def test_the_file_alone_is_put_right_without_loading(kernel: Kernel, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "rules.nft"
    bring(kernel, path)
    path.write_text("other\n", encoding="utf-8")
    assert bring(kernel, path).steps() == [f"write {path}"]


def test_looking_loads_nothing(kernel: Kernel, tmp_path: pathlib.Path) -> None:
    wanted = Wanted(TABLE, RULES, str(tmp_path / "rules.nft"))
    assert plan_table(wanted, Nft(kernel.run).look(wanted)).changed
    assert kernel.loaded is None and list(tmp_path.iterdir()) == []
    assert [command[0] for command in kernel.commands] == ["/usr/sbin/nft", "unshare"]


def test_rules_that_nft_refuses_are_refused_with_its_words_before_anything_is_changed(kernel: Kernel, tmp_path: pathlib.Path) -> None:
    kernel.trial_error = "/dev/stdin:3:1-4: Error: syntax error,\nunexpected junk"
    with pytest.raises(InvalidInput, match="Error: syntax error, unexpected junk Nothing was changed"):
        bring(kernel, tmp_path / "rules.nft")
    assert list(tmp_path.iterdir()) == [] and kernel.loaded is None


@pytest.mark.parametrize("makes", [[TABLE, "ip filter"], ["inet other"], []])
def test_rules_that_make_another_table_are_refused(kernel: Kernel, tmp_path: pathlib.Path, makes: list[str]) -> None:
    kernel.makes = makes
    with pytest.raises(InvalidInput, match=f"they may only make {TABLE}"):
        bring(kernel, tmp_path / "rules.nft")
    assert list(tmp_path.iterdir()) == []


def test_a_system_that_cannot_try_says_so(kernel: Kernel, tmp_path: pathlib.Path) -> None:
    kernel.trial_error = "unshare: unshare failed: Operation not permitted"
    with pytest.raises(ScalingError, match="could not be tried in a network namespace of their own: unshare: unshare failed"):
        bring(kernel, tmp_path / "rules.nft")


def test_a_load_that_fails_says_that_the_former_rules_are_in_force(kernel: Kernel, tmp_path: pathlib.Path) -> None:
    kernel.refusal = "Error: Could not process rule: No such file or directory"
    with pytest.raises(ScalingError, match="Could not process rule: No such file or directory The former rules are still in force"):
        bring(kernel, tmp_path / "rules.nft")
