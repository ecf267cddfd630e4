"""Pictures in the page are the records' files, the best first."""

from __future__ import annotations

import base64
from pathlib import Path

from encbench_leaderboard.render.html import album, html_page
from encbench_leaderboard.report.blocks import Page, Pictures, Tile

from tests.leaderboard.render.html.pages import picture


def block(folder: Path, task: str, entries: int = 6) -> Pictures:
    tiles = [Tile(picture(folder, "target"), "target", None)]
    tiles += [Tile(picture(folder, f"{task}{i}"), "prediction", f"e{i}") for i in range(entries)]
    return Pictures("sheet", "pictures", "", tiles)


def test_pictures_are_the_records_files_and_each_is_there_once(tmp_path: Path) -> None:
    blocks = [block(tmp_path, "a", 2), block(tmp_path, "b", 2)]
    made = album.Album(blocks)
    assert len(made.uris) == 5
    for tile in (*blocks[0].tiles, *blocks[1].tiles):
        found = made.of(tile)
        assert found
        uri = made.uris[found[0]]
        assert (
            base64.b64decode(uri.removeprefix("data:image/png;base64,")) == tile.file.read_bytes()
        )
        assert found[1] == (67, 48)
    assert made.of(blocks[0].tiles[0]) == made.of(blocks[1].tiles[0])


def test_the_best_entries_of_all_tasks_keep_their_pictures(tmp_path: Path) -> None:
    blocks = [block(tmp_path, task) for task in "ab"]
    everything = sum(map(len, album.Album(blocks).uris))
    limit = everything // 2
    made = album.Album(blocks, limit)
    assert sum(map(len, made.uris)) <= limit
    for shown in blocks:
        kept = [made.of(tile) is not None for tile in shown.tiles]
        assert kept == sorted(kept, reverse=True)
        assert 1 < sum(kept) < 7


def test_what_is_no_picture_is_left_out_and_counted(tmp_path: Path) -> None:
    shown = block(tmp_path, "a", 2)
    shown.tiles[2].file.write_bytes(b"no picture at all, but long enough to be one")
    made = album.Album([shown])
    assert [made.of(tile) is not None for tile in shown.tiles] == [True, True, False]
    assert "1 of 3 pictures are left out" in html_page(Page("p", [shown], ["e0", "e1"]))


def test_a_picture_that_is_gone_is_left_out(tmp_path: Path) -> None:
    shown = block(tmp_path, "a", 1)
    shown.tiles[1].file.unlink()
    assert album.Album([shown]).of(shown.tiles[1]) is None
