"""Pictures in the page are the records' files, best entries first."""

from __future__ import annotations

import base64
from pathlib import Path

from encbench_leaderboard.render.html import html_page
from encbench_leaderboard.render.html.document import embed
from encbench_leaderboard.report.blocks import Page, Pictures, Tile

from tests.leaderboard.render.html.pages import picture


def block(folder: Path, task: str, entries: int = 6) -> Pictures:
    tiles = [Tile(picture(folder, "target"), "target", None)]
    tiles += [Tile(picture(folder, f"{task}{i}"), "prediction", f"e{i}") for i in range(entries)]
    return Pictures("sheet", "pictures", "", tiles)


def test_pictures_are_the_records_files_and_each_is_there_once(tmp_path: Path) -> None:
    blocks = [block(tmp_path, "a", 2), block(tmp_path, "b", 2)]
    made = embed(blocks)
    assert [found.number for found in made.values()] == [0, 1, 2, 3, 4]
    for tile in (*blocks[0].tiles, *blocks[1].tiles):
        found = made[tile.file]
        content = base64.b64decode(found.uri.removeprefix("data:image/png;base64,"))
        assert content == tile.file.read_bytes()
        assert (found.width, found.height) == (67, 48)


def test_the_best_entries_of_all_tasks_keep_their_pictures(tmp_path: Path) -> None:
    blocks = [block(tmp_path, task) for task in "ab"]
    limit = sum(len(found.uri) for found in embed(blocks).values()) // 2
    made = embed(blocks, limit)
    assert sum(len(found.uri) for found in made.values()) <= limit
    for shown in blocks:
        kept = [tile.file in made for tile in shown.tiles]
        assert kept == sorted(kept, reverse=True)
        assert 1 < sum(kept) < 7


def test_what_is_no_picture_is_left_out_and_counted(tmp_path: Path) -> None:
    shown = block(tmp_path, "a", 2)
    shown.tiles[2].file.write_bytes(b"no picture at all, but long enough to be one")
    made = embed([shown])
    assert [tile.file in made for tile in shown.tiles] == [True, True, False]
    assert "1 of 3 pictures are left out" in html_page(Page("p", [shown], ["e0", "e1"]))


def test_a_picture_that_is_gone_is_left_out(tmp_path: Path) -> None:
    shown = block(tmp_path, "a", 1)
    shown.tiles[1].file.unlink()
    assert shown.tiles[1].file not in embed([shown])
