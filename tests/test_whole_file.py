"""Files that are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from picoclaw_fleet.whole_file import write_whole


def test_a_file_keeps_its_mode_and_a_new_one_is_for_its_owner_only(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("before")
    old.chmod(0o640)
    write_whole(old, "after")
    write_whole(new, "after")
    assert [(file.read_text(), file.stat().st_mode & 0o777) for file in (old, new)] == [
        ("after", 0o640),
        ("after", 0o600),
    ]


def test_where_it_can_not_be_written_nothing_is_left_beside_it(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path / "folder", "text")
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]
