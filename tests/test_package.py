"""What is installed, and what imports what."""

import subprocess
import sys
import zipfile
from pathlib import Path

import encbench

ROOT = Path(__file__).parents[1]


def test_all_is_sorted_and_every_name_is_there():
    assert encbench.__all__ == sorted(encbench.__all__)
    for name in encbench.__all__:
        assert getattr(encbench, name) is not None


def test_importing_encbench_imports_no_torch():
    code = "import encbench, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_wheel_holds_our_packages_and_nothing_else(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    assert top == {"encbench", "encbench_encodings", "encbench_tasks", "encbench_leaderboard"}
    assert "encbench_tasks/suites/quick.toml" in names
    assert "encbench/py.typed" in names


def test_imports_point_one_way():
    done = subprocess.run(
        ["lint-imports"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        executable=Path(sys.executable).with_name("lint-imports"),
    )
    assert done.returncode == 0, done.stdout
