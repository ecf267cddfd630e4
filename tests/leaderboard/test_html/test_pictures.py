"""Pictures in the page are the records' files, the best first."""

from __future__ import annotations

import base64

from encbench_leaderboard.render.html import pictures

from tests.leaderboard.results import Results, photograph
from tests.leaderboard.test_html.data import data, data_of, page


def test_pictures_are_the_records_files_and_the_target_is_there_once(results: Results) -> None:
    made = [results.add(encoding, psnr=psnr) for encoding, psnr in (("a", 20.0), ("b", 30.0))]
    found = data(results)
    shown = found["tasks"][0]["pictures"]
    assert [(p["name"], p["entry"]) for p in shown] == [
        ("target", None),
        ("prediction", 1),
        ("prediction", 0),
    ]
    files = [made[1].path / "target.png", made[1].path / "prediction.png"]
    for picture, file in zip(shown, [*files, made[0].path / "prediction.png"], strict=True):
        uri = found["pictures"][picture["picture"]]
        assert uri.startswith("data:image/png;base64,")
        assert base64.b64decode(uri.partition(",")[2]) == file.read_bytes()
        assert picture["size"] == [67, 48]


def test_the_best_entries_keep_their_pictures_where_not_all_have_room(results: Results) -> None:
    for place in range(6):
        results.add(f"e{place}", psnr=20.0 + place)
    everything = sum(map(len, data(results)["pictures"]))
    limit = everything // 2
    found = data(results, pictures=limit)
    assert sum(map(len, found["pictures"])) <= limit
    task = found["tasks"][0]
    kept = {p["entry"] for p in task["pictures"] if p["name"] == "prediction"}
    best = [row["entry"] for row in task["rows"]]
    assert kept == set(best[: len(kept)])
    assert 0 < len(kept) < 6
    assert task["pictures_left_out"] == 6 - len(kept)


def test_what_is_no_picture_is_left_out_and_counted(results: Results) -> None:
    stored = results.add("a")
    (stored.path / "prediction.png").write_bytes(b"no picture at all, but long enough to be one")
    album = pictures.collect({0: ["a"]}, lambda task, entry: [stored])
    assert [p["name"] for p in album.shown[0]] == ["target"]
    assert album.left_out == {0: 1}


def test_a_picture_of_two_tasks_is_stored_once(results: Results) -> None:
    for task in ("image:image=a", "image:image=b"):
        stored = results.add("a", task=task)
        picture = {"target": photograph(20, 30)}
        results.store.write(stored.record, {}, picture)
    found = data(results)
    assert len(found["pictures"]) == 1
    assert [task["pictures"][0]["picture"] for task in found["tasks"]] == [0, 0]


def test_without_pictures_there_are_none(results: Results) -> None:
    results.add("a")
    assert data_of(page(results, pictures=False))["pictures"] == []
