"""The program as a user sees it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from encbench.cli import main
from encbench.cli.app import build
from encbench.errors import UsageError
from encbench.plugins.registry import default_registry
from tests.cli.program import encbench, here
from tests.processes import start


def small(**changes):
    """Options of a small cell, with changes or additions."""
    options = {
        **{"task": "image:image=camera,side=16", "steps": 20, "batch_size": 64},
        **{"width": 16, "ntk_points": 16, "device": "cpu"},
    } | changes
    return [w for k, v in options.items() for w in (f"--{k.replace('_', '-')}", str(v))]


SMALL = small()


def test_looking_around_imports_no_torch_and_is_quick(tmp_path):
    code = """
import sys
from pathlib import Path
from encbench.cli import main
for words in ("--help", "list", "plugins", "run --help"):
    sys.argv = ["encbench", *words.split()]
    try:
        main()
    except SystemExit as end:
        assert not end.code, words
    print("end of", words)
    assert "torch" not in sys.modules, words
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    said = re.split(r"end of .*\n", done.stdout)
    assert [bool(text) for text in said] == [True, True, True, True, False]


def test_windows_gets_one_line_instead_of_an_import_error(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    line = "error: encbench runs on Linux and macOS, and this is win32; .*"
    with pytest.raises(SystemExit, match=f"^{line}$"):
        main()


def test_a_script_on_windows_gets_the_same_line():
    code = "import sys; sys.platform = 'win32'; from encbench import run_suite"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("encbench.errors.EncbenchError: encbench runs on Linux and macOS")


CTRL_C = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"
OWN_ERROR = f"""
try:
    {CTRL_C}
except KeyboardInterrupt:
    raise ImportError("as NumPy says where its import is interrupted") from None
"""
DURING = {
    "an import of ours": ("encbench.cli.app", CTRL_C),
    "an import of a plug-in": ("encbench_leaderboard", CTRL_C),
    "one that calls it an error of its own": ("encbench_leaderboard", OWN_ERROR),
    "an import of a verb": ("encbench_leaderboard.verb", CTRL_C),
    "a verb": ("encbench_leaderboard.render", CTRL_C),
}


@pytest.mark.parametrize(("module", "code"), DURING.values(), ids=DURING)
def test_ctrl_c_is_one_line_whenever_it_comes(tmp_path, module, code):
    """Ctrl-C also works before a run has begun: imports take seconds."""
    begin = f"""
import importlib.abc, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
class Pressed(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            exec({code!r}, {{}})
sys.meta_path.insert(0, Pressed())
sys.argv = ["encbench", "leaderboard", "nowhere"]
from encbench.cli import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", begin], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert (done.stderr, done.stdout, done.returncode) == ("interrupted\n", "", 130)


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_become_the_null_device(tmp_path, closed):
    """Else a results file would get the descriptor of standard output, and the printed text."""
    code = """
import os, sys
from pathlib import Path
from encbench.cli import main
sys.argv = ["encbench", "--version"]
try:
    main()
except SystemExit as end:
    Path("said").write_text(f"{end.code} {os.open('file', os.O_CREAT | os.O_WRONLY) > 2}")
"""
    command = ["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.stdout, done.stderr) == ("", "")
    assert (tmp_path / "said").read_text() == "0 True"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_a_full_disk_behind_standard_output_is_said_to_be_there():
    command = ["sh", "-c", 'exec "$0" -m encbench list suites >/dev/full', sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot write standard output: No space left on device")


def test_what_a_plugin_prints_as_python_ends_is_not_on_standard_output(tmp_path):
    info = tmp_path / "late-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: late\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[encbench]\nmain = late\n")
    early = "import atexit, sys\natexit.register(print, 'bye')\nsys.__stdout__.write('early')\n"
    (tmp_path / "late.py").write_text(early)
    done = encbench("plugins", "--requirements", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0
    assert done.stdout.startswith("embreex==")
    assert not {"bye", "early"} & {*done.stdout.split()}
    assert all(word in done.stderr for word in ("bye", "early"))


@pytest.mark.parametrize("verb", ["list", "--help"])
def test_a_reader_that_is_gone_is_no_error(verb):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "encbench", verb],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert (done.stderr, done.returncode) == ("", 1)


def test_an_output_without_greek_letters_gets_escapes():
    done = here("list", "mpe", encoding="ascii")
    assert done.returncode == 0, done.stderr
    assert "\\u03b3(x) = " in done.stdout


def test_a_run_records_renders_and_shows(tmp_path):
    done = encbench(
        *("run", "-e", "identity", "-e", "ffe:levels=3", *SMALL, "-o", "out", "-j", 1),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "2 cells: 2 ok" in done.stderr
    page = (tmp_path / "out" / "leaderboard.md").read_text()
    assert "ffe:levels=3" in page
    listing = here("show", "out", cwd=tmp_path)
    assert "identity" in listing.stdout
    key = next((tmp_path / "out" / "records").glob("??/*")).name
    shown = here("show", "out", key[:8], "--json", cwd=tmp_path)
    record = json.loads(shown.stdout)
    assert record["key"] == key
    assert record["provenance"]["device"] == "cpu"
    assert "peak_memory_bytes" in here("show", "out", key, "--all", cwd=tmp_path).stdout
    folder = tmp_path / "out" / "records" / key[:2] / key
    assert key in here("show", ".", cwd=folder).stdout
    arrays = folder / "arrays.npz"
    arrays.write_bytes(bytes(arrays.stat().st_size))
    done = here("show", "out", key, cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "arrays.npz is damaged" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "-e", "identiti"], 2, ["unknown encoding 'identiti'", "did you mean 'identity'"]),
        (["run", "-t", "imagee"], 2, ["unknown task", "did you mean 'image'"]),
        (["run", "-e", "ffe:level=3"], 2, ["no parameter 'level'", "did you mean 'levels'"]),
        (["run", "-e", "ffe:levels=0"], 2, ["levels=0", ">= 1"]),
        (["run", "-e", "ffe:levels=many"], 2, ["'many'", "int"]),
        (["run", "-e", "ffe:levels"], 2, ["ffe:levels"]),
        (["run", "-t", "image:side=-3"], 2, ["side=-3"]),
        (["run", "--lr", "fast"], 2, ["training.lr = 'fast'", "auto"]),
        (["run", "--epochs", "0"], 2, ["training.epochs = 0"]),
        (["run", "--optimizer", "adma"], 2, ["unknown optimizer 'adma'", "did you mean 'adam'"]),
        (["run", "--set", "training.momentum=1"], 2, ["unknown key training.momentum"]),
        (["run", "--set", "momentum=1"], 2, ["SECTION.KEY=VALUE"]),
        (["run", "--set", "training.lr"], 2, ["; after 'training.lr' =VALUE is missing"]),
        (["run", "--set", "training={lr=3}"], 2, ["; after 'training.' the key is missing"]),
        (["run", "-e", "FFE"], 2, ["unknown encoding 'FFE'", "did you mean 'ffe'"]),
        (["run", "--set", "training.=1"], 2, ["--set 'training.=1'", "SECTION.KEY=VALUE"]),
        (["run", "--threads", "1000000"], 2, ["threads must be", "at most 1024, got 1000000"]),
        (["run", "-j", "0"], 2, ["jobs must be at least 1, got 0"]),
        (["run", "--shard", "65/64"], 2, ["shard 65/64: expected I/N, where I is one of 1 to N"]),
        (["run", "--shard", "0/64"], 2, ["shard 0/64: expected I/N"]),
        (["run", "--shard", "third"], 2, ["--shard 'third': expected I/N, such as 3/64"]),
        (["run", "quik"], 2, ["no suite 'quik'", "did you mean 'quick'"]),
        (["run", *small(device="cuda:9")], 2, ["cuda:9"]),
        # a dry run refuses what the run would refuse
        (
            ["tune", "-n", "-t", "image:side=16", "-e", "ffe", "-j", "0"],
            2,
            ["jobs must be at least 1, got 0"],
        ),
        (["run", "-n", "--threads", "0"], 2, ["threads must be at least 1", "got 0"]),
        (["run", "-n", "-j", "0"], 2, ["jobs must be at least 1, got 0"]),
        (["run", "-n", "--device", "foo"], 2, ["unknown device 'foo'"]),
        (["run", "-n", "--retries", "-1"], 2, ["retries must be at least 0, got -1"]),
        (["list", "mpee"], 2, ["did you mean 'mpe'"]),
        (["show", "nowhere"], 1, ["no results folder nowhere"]),
        (["leaderboard", "nowhere"], 1, ["nowhere"]),
        (["frobnicate"], 2, ["frobnicate"]),
    ],
)
def test_misuse_is_one_clear_line_and_an_exit_code(tmp_path, arguments, code, words):
    done = here(*arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    said = " ".join(done.stderr.split())
    assert all(word in said for word in words), done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "/proc/nowhere"], ["cannot write /proc/"]),
        (["-t", "occupancy:mesh=empty.ply"], ["the file is empty"]),
    ],
)
def test_a_run_that_cannot_be_is_one_clear_line_and_an_exit_code(tmp_path, arguments, words):
    options = {"-t": "image:image=camera,side=16", "-o": "out"} | dict([arguments])
    options = [word for option in options.items() for word in option]
    (tmp_path / "empty.ply").touch()
    done = encbench("run", "-e", "identity", *options, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    said = " ".join(done.stderr.split())
    assert all(word in said for word in words), done.stderr


@pytest.mark.parametrize("verb", ["show", "export", "merge", "compare"])
def test_a_name_that_no_file_can_have_is_one_clear_line(tmp_path, verb):
    name = "a" * 300
    more = {"export": ["out.csv"], "merge": ["-o", "out"], "compare": ["b"]}.get(verb, [])
    done = here(verb, name, *more, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: File name too long: {name}")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_names_the_cells_and_runs_none(tmp_path):
    done = here("run", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0
    assert "image:image=chelsea,side=128 × identity seed 0" in done.stdout
    assert "occupancy:mesh=knot: adam" in done.stderr
    assert "FFE 4: 19,075 parameters" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_dry_run_leaves_out_what_is_recorded_and_says_what_cannot_be_read(tmp_path):
    command = ("run", "-e", "identity", *SMALL, "-o", "out", "-j", 1)
    assert encbench(*command, "--no-report", cwd=tmp_path).returncode == 0
    assert not (tmp_path / "out" / "leaderboard.md").exists()
    (tmp_path / "empty.ply").touch()
    again = here(
        *command, "--seed", 0, "--seed", 1, "-t", "occupancy:mesh=empty.ply", "-n", cwd=tmp_path
    )
    assert again.stdout.splitlines() == [
        "image:image=camera,side=16 × identity seed 1",
        "occupancy:mesh=empty.ply × identity seed 0 (its data cannot be read)",
        "occupancy:mesh=empty.ply × identity seed 1 (its data cannot be read)",
    ]
    assert "1 of 4 cells have a record already in out" in again.stderr
    assert again.stderr.count("empty.ply: the file is empty") == 1
    assert "identity: 337 to 1,985 parameters" in again.stderr
    whole = here(*command, "-n", "--rerun", "all", cwd=tmp_path)
    assert whole.stdout == "image:image=camera,side=16 × identity seed 0\n"


MISSING = {
    "image:image=chelsae": "no image 'chelsae'",
    "ct:image=no.png": "no image 'no.png'",
    "video:video=pam": "no sequence 'pam'",
    "audio:sound=no.wav": "no sound 'no.wav'",
    "occupancy:mesh=no.ply": "no mesh 'no.ply'",
}
WITH_MISSING = [word for task in ("image:side=16", *MISSING) for word in ("-t", task)]


@pytest.mark.parametrize("verb", [["run"], ["tune", "-n", "--tune-on", "image"]])
def test_data_that_do_not_exist_are_named_before_anything_is_recorded(tmp_path, verb):
    done = here(*verb, "-e", "ffe", *WITH_MISSING, "-o", "out", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: 5 tasks without data: ")
    assert all(words in done.stderr for words in MISSING.values())
    assert list(tmp_path.iterdir()) == []


def test_a_plan_for_another_machine_notes_which_data_are_not_on_this_one(tmp_path):
    command = ("run", "-n", "-e", "ffe", *WITH_MISSING, "-o", "out", "--estimate")
    done = here(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    note = "note: this machine could not run this: 5 tasks without data: "
    assert done.stderr.startswith(note)
    for task, words in MISSING.items():
        assert done.stderr.split("ffe: ")[0].count(words) == 1
        assert f"{task} × ffe seed 0 (its data cannot be read)" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_share_needs_only_the_data_of_its_own_cells(tmp_path):
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 8), "red").save(tmp_path / name)
    tasks = ["-t", "image:image=a.png", "-t", "image:image=b.png"]
    command = ["run", "-e", "identity", *tasks, "--steps", 4, "--ntk-points", 0, "-j", 1]

    def shares(*more):
        return [here(*command, *more, "--shard", f"{k}/2", cwd=tmp_path) for k in (1, 2)]

    with_data = shares("-n")
    (tmp_path / "a.png").unlink()
    for before, after, run in zip(with_data, shares("-n"), shares("-o", "out"), strict=True):
        needs = "a.png" in before.stdout
        assert after.returncode == 0
        assert after.stdout.replace(" (its data cannot be read)", "") == before.stdout
        assert ("no image 'a.png'" in after.stderr) == needs
        assert run.returncode == (2 if needs else 0), run.stderr
    assert len(list((tmp_path / "out" / "records").glob("*/*/record.json"))) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_plan_for_another_machine_notes_that_this_one_has_no_such_device(tmp_path):
    done = here("run", "-n", "-e", "ffe", "-t", "image:side=16", "--device", "cuda", cwd=tmp_path)
    assert done.returncode == 0
    assert "note: this machine could not run this: device 'cuda'" in done.stderr


def test_a_mask_that_does_not_exist_is_wrong_usage(tmp_path):
    done = here("run", "-t", "image:image=chelsea,split=mask,mask=no.png", cwd=tmp_path)
    assert done.returncode == 2
    assert "no mask 'no.png'" in done.stderr


def test_recorded_cells_are_planned_after_their_data_have_gone(tmp_path):
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 8), "red").save(tmp_path / name)
    tasks = ["-t", "image:image=a.png", "-t", "image:image=b.png"]
    command = ["run", "-e", "identity", *tasks, "--steps", 4, "--ntk-points", 0, "-o", "out"]
    assert here(*command, "-j", 1, "--no-report", cwd=tmp_path).returncode == 0
    (tmp_path / "a.png").unlink()
    again = here(*command, "-n", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert again.stdout == "image:image=a.png × identity seed 0 (its data cannot be read)\n"
    assert "1 of 2 cells have a record already" in again.stderr


def test_a_dry_run_says_once_why_a_number_of_parameters_is_unknown(tmp_path):
    empty = "image:image=camera,side=16,split=random,fraction=0.0001"
    done = here("run", "-e", "identity", "-e", "ffe", "-t", empty, "-n", cwd=tmp_path)
    assert done.returncode == 0
    for encoding in ("identity", "ffe"):
        assert f"{encoding}: unknown number of parameters\n" in done.stderr
    assert done.stderr.splitlines()[-1] == (
        f"the number of parameters depends on the data of {empty!r}, which cannot be read: "
        "split=random with fraction=0.0001 of 16 × 16 pixels leaves none to train on; "
        "give another fraction, or more of them"
    )
    assert done.stderr.count("leaves none to train on") == 1


def test_a_plan_tells_encodings_with_one_label_apart(tmp_path):
    command = ["-e", "ffe:levels=1 as base", "-e", "identity as base", "--set", "network.width=4"]
    tasks = ["-t", "image:side=16 as x", "-t", "audio:sound=chirp,duration=0.1 as x"]
    done = here("run", *command, *tasks, "-n", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "x × base (ffe) · task=image seed 0" in done.stdout
    # of each task with its own number of inputs and outputs
    assert "base (ffe): 37 to 55 parameters" in done.stderr


@pytest.mark.parametrize(
    "command", [["run", "--ntk-points", "0"], ["tune", "--trials", "2", "--set", "ntk.points=0"]]
)
def test_the_exit_code_says_that_no_page_could_be_written_and_records_stay(tmp_path, command):
    (tmp_path / "out" / "leaderboard.md").mkdir(parents=True)
    cell = ("-e", "identity", "-t", "image:image=camera,side=16", "--steps", "4")
    asked = (*command, *cell, "-o", "out", "-j", 1)
    done = encbench(*asked, cwd=tmp_path)
    assert done.returncode == 1
    assert "out/leaderboard.md: Is a directory" in done.stderr
    assert list((tmp_path / "out" / "records").glob("??/*/record.json"))
    (tmp_path / "out" / "leaderboard.md").rmdir()
    assert encbench(*asked, cwd=tmp_path).returncode == 0
    assert (tmp_path / "out" / "leaderboard.md").is_file()


def test_a_dry_run_says_why_it_cannot_count_parameters(tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    for index, width in enumerate((16, 16, 20)):
        Image.new("L", (width, 16)).save(frames / f"{index}.png")
    done = here(
        *("run", "-e", "identity", "-e", "ffe", "-t", "video:video=frames", "-n"), cwd=tmp_path
    )
    assert done.returncode == 0
    assert done.stderr.count("frames of different sizes: 0.png has 16 × 16 pixels and 2.png") == 1


def test_encodings_or_tasks_given_by_themselves_are_no_packaged_suite(tmp_path):
    encbench("run", "-e", "identity", *SMALL, "-j", 1, "--no-report", cwd=tmp_path)
    folder = tmp_path / "results" / "custom"
    board = ("leaderboard", folder, "--no-pictures", "--no-html")
    assert here(*board).returncode == 0
    (asked,) = json.loads((folder / "run.json").read_text())["suites"]
    assert (asked["name"], asked["description"]) == ("custom", "")
    assert "quick" not in (folder / "leaderboard.md").read_text()


def test_a_setting_may_hold_commas_and_equals_signs(tmp_path):
    done = here(
        *("run", "-e", "identity", *SMALL, "-n"),
        *("--set", "network.activation=finer:omega=3,bias=2", "--set", "training.lr_factor = 2"),
        cwd=tmp_path,
    )
    assert "no parameter 'bias'" in done.stderr


def test_a_log_file_gets_lines_and_no_control_characters(tmp_path):
    done = encbench("run", "-e", "identity", *SMALL, "-o", "out", "--no-report", cwd=tmp_path)
    assert "\x1b" not in done.stderr
    assert "started   image:image=camera,side=16 × identity" in done.stderr
    assert "ok        image:image=camera,side=16 × identity" in done.stderr


def test_ctrl_c_says_what_is_kept_and_how_to_go_on(tmp_path):
    command = ("encbench", "run", "-e", "identity", "-e", "ffe:levels=2", "-o", "out", "-j", 2)
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = start(*command, *small(steps=1_000_000), log=file, cwd=tmp_path)
    while "started" not in log.read_text():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    said = log.read_text()
    assert "Give the same command to resume" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--width", "1", "--width=2"], "--width is given 2 times"),
        (["run", "-j", "1", "--jobs", "2"], "--jobs is given 2 times"),
        (["ntk", "-n", "4", "-n", "5"], "--points is given 2 times"),
        (["run", "--no-report", "--report"], "--report and --no-report are both given; give one"),
    ],
)
def test_an_option_given_twice_is_an_error_and_does_not_keep_the_last(arguments, words):
    done = here(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("suites", "quick"),
        ("suite", "quick"),
        ("activations", "sin(ω z) of SIREN"),
        ("relu", "max(z, 0)."),
        ("sine", "float >= 1e-06, <= 1e+06"),
        ("max_error", "direction:   lower"),
        ("imge", "did you mean 'image'"),
    ],
)
def test_list_finds_tasks_suites_and_activations_too(name, words):
    done = here("list", name)
    assert words in done.stdout + done.stderr
    assert (done.returncode == 0) == ("did you mean" not in words)


@pytest.mark.parametrize(
    ("arguments", "differ"),
    [
        (["--lr", "1", "--lr", "2.5"], ["lr=1.0", "lr=2.5"]),
        (["--sweep", "training.lr_factor=0.5,2"], ["lr_factor=0.5", "lr_factor=2.0"]),
        (["--sweep", "network.width=4,8", "--lr", "1"], ["width=4", "width=8"]),
    ],
)
def test_swept_values_are_listed_with_what_differs(arguments, differ, capsys):
    verb = ["run", "-n", "-e", "identity", "-t", "image:side=8", *arguments]
    build(default_registry(), verb)(verb, prog_name="encbench", standalone_mode=False)
    listed = capsys.readouterr().out.splitlines()
    assert [line.partition(" · ")[2].removesuffix(" seed 0") for line in listed] == differ


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sweep", "lr_factor=1,2"], "not SECTION.KEY=VALUE,… or ENCODING.PARAMETER=VALUE,…"),
        (["--sweep", "training.lr=1", "--lr", "2"], "training.lr is given more than once"),
        (["--budget", "seconds=3"], "expected parameters=N, such as parameters=300k"),
    ],
)
def test_a_sweep_or_budget_of_another_form_is_refused(arguments, words):
    verb = ["run", "-n", *arguments]
    with pytest.raises(UsageError, match=re.escape(words)):
        build(default_registry(), verb)(verb, prog_name="encbench", standalone_mode=False)


def test_a_choice_that_there_is_not_is_one_sentence_without_the_name_of_an_exception():
    asked = ["run", "--rerun", "foo"]
    output = CliRunner().invoke(build(default_registry(), asked), asked).output
    assert "'--rerun': 'foo' is not one of 'never'" in output
