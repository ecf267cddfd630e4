"""Impossible requests are rejected before any work, here even before the input is searched for."""

import pytest

from tests.cli.program import here

BLOCKED = "a-file/out"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["leaderboard", "nowhere", "--tables", "txe"], "must be one of 'csv', 'tex'"),
        (["leaderboard", "nowhere", "--format", "pgn"], "did you mean 'png'?"),
        (["leaderboard", "nowhere", "--no-pictures", "--format", "svg"], "--no-pictures excludes"),
        (["leaderboard", "nowhere", "-o", "page"], "page has no suffix"),
        (["leaderboard", "nowhere", "-o", f"{BLOCKED}.md"], "cannot write"),
        (["figures", "nowhere", "-o", BLOCKED], "cannot write"),
        (["figures", "nowhere", "--format", "gif"], "no pictures of format 'gif'"),
        (["plot", "nowhere", "--x", "seed", "-o", f"{BLOCKED}.png"], "cannot write"),
        (["plot", "nowhere", "--x", "seed", "-o", "x.png", "--data", f"{BLOCKED}.csv"], "cannot"),
        (["render", "nowhere", "-o", "x.foo"], "cannot draw to x.foo"),
        (["render", "nowhere", "-o", f"{BLOCKED}.png"], "cannot write"),
        (["export", "nowhere", f"{BLOCKED}.csv"], "cannot write"),
        (["export", "nowhere", "-", "--spectra", f"{BLOCKED}.csv"], "cannot write"),
        (["bench", "-e", "nosuch", "-o", f"{BLOCKED}.md"], "cannot write"),
        (["ntk", "-e", "nosuch", "-o", BLOCKED], "cannot write"),
        (["ntk", "-e", "nosuch", "--plot", "x.foo"], "cannot draw to x.foo"),
        (["ntk", "-e", "nosuch", "--plot", f"{BLOCKED}.png"], "cannot write"),
        (["dynamics", "-e", "nosuch", "-o", BLOCKED], "cannot write"),
        (
            ["export", "nowhere", "no-folder/out.csv"],
            "cannot write no-folder/out.csv: No such file",
        ),
        (["ntk", "-e", "nosuch", "-o", "no-file.json"], "cannot write no-file.json: No such file"),
        (["export", "nowhere", "circle/out.csv"], "cannot write circle/out.csv: Too many levels"),
        (["run", "-n", ""], "no suite ''"),
        (["dynamics", "-e", "nosuch", "--factor", "-1"], "must be positive and finite"),
        (["data", "export-mesh", "nowhere", "3f", "-o", f"{BLOCKED}.ply"], "cannot write"),
        (["data", "list", "bunny"], "list takes no names, got bunny"),
        (["data", "fetch", "bunny", "-o", "x.ply"], "only export-mesh writes a file"),
        (["show", "nowhere", "--all"], "--all shows one record"),
        (
            ["run", "-n", "-e", "nosuch", "--workers", "3"],
            "--workers is the number of jobs of --cluster",
        ),
        (["run", "-n", "--scheduler", "a", "--cluster", "slurm"], "not both"),
        (["run", "-n", "-j", "2", "--scheduler", "a"], "-j is for this machine"),
        (["run", "--rerun", "fialed"], "did you mean 'failed'?"),
        (["merge", "nowhere", "-o", "x", "--without", "picture"], "did you mean 'pictures'?"),
        (["data", "lst"], "did you mean 'list'?"),
        (["leaderbord"], "leaderboard"),
        (["run", "-n", "--lr", "1", "--set", "training.lr=2"], "training.lr is given more than"),
        (["run", "--set", "ntk.points=1", "--set", "ntk.points=2"], "ntk.points is given more"),
        (["run", "--set", "trainin.lr=1"], "did you mean 'training'?"),
        (["leaderboard", "a-file"], "a-file is a file, not a results folder"),
        (["figures", "a-file"], "a-file is a file, not a results folder"),
        (["plot", "a-file", "--x", "seed"], "a-file is a file, not a results folder"),
        (["show", "a-file"], "a-file is a file, not a results folder"),
        (
            ["export", "nowhere", "a-file/x.csv"],
            "a-file is a file, not a folder; name another file",
        ),
        (["run", "--seed", "1", "--seed", "one"], "--seed one: must be an integer"),
        (["bench", "--points", "0"], "--points 0: must be greater than or equal to 1"),
        (["run", "-e", "ffe:levels"], "did you mean 'ffe:levels=VALUE'?"),
        (["run", "-e", "spherical_harmonics"], "tasks are those of the suite 'quick'; -t takes"),
        (["ntk", "-e", "spherical_harmonics"], "tasks are those of the suite 'quick'; -t takes"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(tmp_path, arguments, words):
    (tmp_path / "a-file").write_text("")
    links = {"no-folder": "gone", "no-file.json": "gone/x.json", "circle": "circle"}
    for link, target in links.items():
        (tmp_path / link).symlink_to(target)
    done = here(*arguments, cwd=tmp_path)
    assert words in " ".join(done.stderr.split())
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    assert {file.name for file in tmp_path.iterdir()} == {"a-file", *links}
