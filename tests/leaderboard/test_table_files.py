"""Tables of a page as files for other programs and for papers."""

from __future__ import annotations

import csv
import math

from encbench_leaderboard.render.table_files import as_csv, as_latex, write_tables
from encbench_leaderboard.report.blocks import Column, Row, Table, Value
from encbench_leaderboard.report.build import describe, load_board

from tests.leaderboard.results import Results

COLUMNS = [
    Column("encoding", "encoding", "code"),
    Column("psnr", "PSNR [dB] ↑"),
    Column("lr", "lr", first=False),
]
TABLE = Table(
    "standings",
    COLUMNS,
    [
        Row([Value('a_b:c=[1,2],"x"'), Value("41.01 ± 0.50", 41.012345), Value("0.1", 0.1)]),
        Row([Value("50%&{~}"), Value("–"), Value("–")]),
    ],
)


def test_csv_has_all_columns_all_digits_and_nothing_where_there_is_no_value() -> None:
    assert list(csv.reader(as_csv(TABLE).splitlines())) == [
        ["encoding", "psnr", "psnr.text", "lr"],
        ['a_b:c=[1,2],"x"', "41.012345", "41.01 ± 0.50", "0.1"],
        ["50%&{~}", "", "", ""],
    ]


def test_csv_has_numbers_not_sort_keys_and_no_text_in_a_column_of_numbers() -> None:
    values = [
        Value("503 / 512", 503 / 512, number=503),
        Value("≤ 1.00e-7", 0.0, number=math.nan),
        Value("– (scales = 3 or scales = 4)"),
    ]
    table = Table("spectra", [Column("rank", "rank")], [Row([value]) for value in values])
    assert list(csv.reader(as_csv(table).splitlines())) == [
        ["rank", "rank.text"],
        ["503", "503 / 512"],
        ["", "≤ 1.00e-7"],
        ["", "– (scales = 3 or scales = 4)"],
    ]


def test_latex_has_the_first_columns_and_nothing_that_it_would_read_as_a_command() -> None:
    lines = as_latex(TABLE).splitlines()
    assert lines[0] == r"\begin{tabular}{lr}"
    assert r"encoding & PSNR [dB] $\uparrow$ \\" in lines
    assert r'\texttt{a\_b:c=[1,2],"x"} & 41.01 $\pm$ 0.50 \\' in lines
    assert r"\texttt{50\%\&\{\textasciitilde{}\}} & -- \\" in lines


def test_each_table_of_a_page_becomes_a_file_of_each_format(results: Results) -> None:
    for seed in range(2):
        results.add("a", psnr=30.0, seed=seed)
        results.add("b", psnr=31.0, seed=seed)
    folder = results.directory / "tables"
    files = write_tables(describe(*load_board(results.directory)), folder, ["csv", "tex"])
    names = {file.name for file in files}
    assert names >= {"image-image-chelsea-standings.csv", "image-image-chelsea-standings.tex"}
    assert {file.name for file in folder.iterdir()} == names
    assert "page-correlation.csv" in names, "tables of the page on how to read it are files, too"
    with (folder / "image-image-chelsea-standings.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["encoding"], float(row["psnr"])) for row in rows] == [("b", 31.0), ("a", 30.0)]
    assert float(rows[0]["resolved_rank"]) > 1, "the number that the page shows, not its share"
