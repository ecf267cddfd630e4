"""Each encoding gets the same number of trials, and the best is run again on other cells."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import math
import shutil
from statistics import fmean
from typing import Annotated

import pytest
from encbench_leaderboard.report.blocks import Table
from encbench_leaderboard.report.build import describe, load_board
from torch import Tensor

from encbench import (
    EncbenchError,
    Encoding,
    ParameterError,
    Search,
    Store,
    Suite,
    UsageError,
    load_suite,
    plan,
    run_suite,
)
from encbench.cli.app import build
from encbench.plugins.host import PluginHost, default_host
from encbench.plugins.registry import Registry, default_registry
from encbench.results.merging import merge
from encbench.runs.candidates import Dimension
from encbench.runs.runner import Unwatched
from encbench.runs.trials import plan_tuning
from encbench.runs.tuning import run_tuning, value_of
from encbench.runs.tuning_report import (
    Summary,
    TuneResult,
    best_so_far,
    best_trial,
    earlier_result,
    expected_best,
    page,
)
from encbench.runs.tuning_targets import deciding_metric, facts_of
from encbench.suite.config import cell_key
from tests.processes import start
from tests.sample_plugin import NotANumber, Wave, module, registry_of

HOW = {"device": "cpu", "jobs": 1, "report": False}
SEED = 1002
"""With this seed, the fifth trial is not the best of nine, nor the default the best of five."""
VALUES = [31.0, None, 28.5, 35.25, 28.5]


class Stretched(Encoding):
    """Coordinates times a factor, which must differ from another parameter."""

    equation = "γ(x) = s·x"
    source = "the tests"

    def __init__(
        self,
        in_dim: int,
        *,
        scale: Annotated[float, Search(0.5, 8, log=True)] = 1.0,
        forbidden: Annotated[int, Search(1, 4)] = 4,
    ) -> None:
        if forbidden < 3 and scale > 1:
            raise ParameterError("stretched: a scale above 1 needs forbidden=3")
        super().__init__(in_dim, in_dim)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x


class Fragile(Stretched):
    """An encoding that fails if its factor is large, but not in its constructor."""

    def forward(self, x: Tensor) -> Tensor:
        return x / 0 if self.scale > 2 else self.scale * x


@pytest.fixture(scope="module")
def registry() -> Registry:
    ours = module(
        encodings={"stretched": Stretched, "fragile": Fragile, "nan": NotANumber},
        tasks={"wave": Wave},
    )
    metrics = next(p for p in default_host().plugins if p.offers.get("metric"))
    return registry_of(ours=ours, encbench=module(metrics=metrics.offers["metric"]))


@pytest.fixture(scope="module")
def suite() -> Suite:
    return Suite.model_validate(
        {
            "name": "small",
            "encodings": ["stretched", "fragile"],
            "tasks": ["wave:points=16"],
            "seeds": [0, 1],
            "network": {"width": 8},
            "training": {"batch_size": 8, "steps": 8, "evaluations": 1},
            "ntk": {"points": 4},
        }
    )


def tuned(suite, folder, registry, watcher=None, rerun="failed", **given):
    def run(suite, folder, final):
        how = {**HOW, "registry": registry, "watcher": watcher, "rerun": rerun}
        return run_suite(suite, folder, **how).records

    tuning = plan_tuning(suite, registry=registry, **{"trials": 5, "tune_seeds": [SEED], **given})
    return run_tuning(tuning, folder, registry, run)


@pytest.fixture(scope="module")
def whole(suite, registry, tmp_path_factory):
    """Folder and result of five trials without an interruption; must not be changed."""
    folder = tmp_path_factory.mktemp("tuning") / "whole"
    return folder, tuned(suite, folder, registry)


@pytest.fixture
def out(whole, tmp_path):
    """A copy of the folder in which to continue."""
    return shutil.copytree(whole[0], tmp_path / "out")


class Counting(Unwatched):
    """Counter of the cells that run."""

    def __init__(self):
        self.ran = []

    def recorded(self, record):
        self.ran.append(record.record.encoding_label)


def test_expected_best_is_the_mean_over_all_orders():
    for higher in (True, False):
        best, worst = (max, min) if higher else (min, max)
        lowest = worst(value for value in VALUES if value is not None)
        orders = list(itertools.permutations(lowest if v is None else v for v in VALUES))
        curve = [fmean(best(order[: k + 1]) for order in orders) for k in range(len(VALUES))]
        assert expected_best(VALUES, higher=higher) == pytest.approx(curve, rel=1e-12)
    assert expected_best([None, None], higher=True) == [None, None]
    unbounded = expected_best([math.inf, -math.inf, 2.0], higher=True)
    assert unbounded == [None, math.inf, math.inf]


def test_the_best_trial_is_the_first_of_equals_and_never_one_without_a_value():
    assert best_trial(VALUES, higher=True) == 3
    assert best_trial(VALUES, higher=False) == 2
    assert best_trial([None, None], higher=True) == 0
    assert best_so_far([None, *VALUES[:3]], higher=True) == [None, 31.0, 31.0, 31.0]


def test_an_interval_is_students_and_needs_two_values():
    summary = Summary.of([30.0, 31.0, 35.0])
    half = 4.302652729911275 * math.sqrt(7) / math.sqrt(3)
    assert (summary.low, summary.high) == pytest.approx((32 - half, 32 + half))
    assert (Summary.of([30.0]).mean, Summary.of([30.0]).low) == (30.0, None)
    assert Summary.of([30.0, None]).mean is None
    assert Summary.of([math.inf, -math.inf]).mean is None
    assert Summary.of([0.1, 0.1, 0.1]).text() == "0.1"
    assert Summary.of([1e300, 2e300]).text() == "1.5e+300"  # the interval overflows
    assert Summary.of([1e308, 1e308]).mean is None


@pytest.mark.parametrize(
    ("gains", "tuned", "expected"),
    [
        ([0.51239], 28.134, "+0.51"),
        ([-0.0004], 28.134, "−0.00"),
        ([0.51239], 0.8134, "+0.5124"),
        ([3.0], 12345.6, "+3"),
        ([1.5], 0.0, "+1.5"),
        ([math.inf], math.inf, "+inf"),
        ([1.0, 2.0, 4.5], 28.134, "+2.5 ± 4.5"),
        ([None], None, "no value"),
        ([0.0, 0.0, 2e-17], 0.1, "+0.0000"),
    ],
)
def test_a_change_has_the_decimals_of_what_it_changed(gains, tuned, expected):
    assert Summary.of(gains).text(change_of=tuned) == expected


def test_the_best_on_tuning_cells_is_run_again_beside_the_default(whole):
    folder, result = whole
    assert [len(encoding.trials) for encoding in result.encodings] == [5, 5]
    for encoding in result.encodings:
        values = [trial.value for trial in encoding.trials]
        assert encoding.best == best_trial(values, higher=True)
        assert encoding.best_of == expected_best(values, higher=True)
        default, tuned = encoding.default.values, encoding.tuned.values
        assert encoding.gain.values == [b - a for a, b in zip(default, tuned, strict=True)]
    trials = {s.record.key: s.record for s in Store(folder / "trials").records()}
    assert {record.cell.seed for record in trials.values()} == {SEED}
    assert not any(record.spectra for record in trials.values())
    for trial in result.encodings[0].trials:
        (key,) = trial.keys
        assert trial.value == trials[key].metrics["psnr"].value
        settings = trials[key].cell.encoding.parameters | dict(trials[key].cell.training)
        assert settings.items() >= {**trial.parameters, **trial.training}.items()
    records = [s.record for s in Store(folder).records()]
    shown = {(record.encoding_label, record.cell.seed) for record in records}
    labels = {"stretched", "stretched · tuned", "fragile", "fragile · tuned"}
    assert shown == set(itertools.product(labels, (0, 1)))


def test_what_is_written_can_be_read_back(whole):
    folder, result = whole
    text = (folder / "tune.json").read_text()
    assert TuneResult.model_validate_json(text) == result
    assert json.loads(text)["encodings"][0]["space"]["scale"]["high"] == 8
    with (folder / "best-of-k.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["encoding", "trials", "psnr"]
    assert [float(row[2]) for row in rows[1:6]] == result.encodings[0].best_of
    assert (folder / "best-of-k.png").stat().st_size > 1000
    assert result.protocol in page(result).replace("\\", "")
    assert result.legend.endswith("95 % interval over 2 seeds.")
    assert result.legend.startswith("PSNR [dB], higher is better; ")
    assert "Chosen by mean PSNR on" in result.protocol


def test_the_page_ranks_tuned_settings_and_says_what_each_gained(whole):
    folder, result = whole
    board, store = load_board(folder)
    ranked = {key for one in result.encodings for key in one.tuned.keys}
    assert {one.stored.record.key for one in board.facts} == ranked
    assert len(store.keys()) > len(ranked)
    page = describe(board, store)
    (gains,) = (b for b in page.blocks if isinstance(b, Table) and b.name == "gains")
    shown = {row.values[0].text: [value.sort for value in row.values[1:4]] for row in gains.rows}
    assert shown == {
        one.label: [one.default.mean, one.tuned.mean, one.gain.mean] for one in result.encodings
    }


def test_the_suite_that_is_written_plans_exactly_the_tuned_cells(whole, registry, out):
    suite = load_suite(str(out / "tuned.toml"), registry)
    keys = {cell_key(cell) for cell in plan(suite, registry)}
    assert keys == {key for encoding in whole[1].encodings for key in encoding.tuned.keys}
    assert run_suite(suite, out, registry=registry, **HOW).reused == len(keys)


def test_settings_that_an_encoding_refuses_are_not_among_its_trials(suite, registry):
    for one in plan_tuning(suite, trials=16, registry=registry).searched:
        assert len(one.values) == 15
        for scale, forbidden, *_ in one.values:
            assert forbidden >= 3 or scale <= 1


def test_a_trial_that_fails_is_the_worst(whole):
    _, fragile = whole[1].encodings
    broken = {t.number for t in fragile.trials if t.parameters.get("scale", 1) > 2}
    assert broken == {t.number for t in fragile.trials if t.value is None}
    assert broken
    assert fragile.best not in broken
    assert all(value is not None for value in fragile.best_of)


def test_if_no_trial_ends_the_reason_is_given_and_the_trials_stay(suite, registry, tmp_path):
    broken = Suite.model_validate(suite.model_dump(exclude_unset=True) | {"encodings": ["nan"]})
    with pytest.raises(EncbenchError, match="no trial finished; the first: encoding 'nan'"):
        tuned(broken, tmp_path, registry, trials=3)
    assert len(Store(tmp_path / "trials").records()) == 3


def test_half_of_the_trials_first_and_then_all_give_the_same_as_all_at_once(
    whole, suite, registry, tmp_path
):
    tuning = plan_tuning(suite, trials=5, tune_seeds=[SEED], registry=registry)
    entries = [trial for one in tuning.searched for trial in one.trials[::2]]
    run_suite(tuning.trial_suite(entries), tmp_path / "trials", registry=registry, **HOW)
    counting = Counting()
    assert tuned(suite, tmp_path, registry, watcher=counting, rerun="interrupted") == whole[1]
    assert len(counting.ran) == 4 + 8
    for name in ("tune.json", "tune.md", "tuned.toml", "trials.toml", "best-of-k.csv"):
        assert (tmp_path / name).read_bytes() == (whole[0] / name).read_bytes()


def test_a_tuning_given_again_runs_nothing_and_says_the_same(whole, suite, registry, out):
    counting = Counting()
    assert tuned(suite, out, registry, watcher=counting, rerun="interrupted") == whole[1]
    assert not counting.ran
    again = Counting()
    assert tuned(suite, out, registry, watcher=again) == whole[1]
    assert {label.partition(" ")[0] for label in again.ran} == {"fragile"}


def test_more_trials_go_on_from_those_there_are_and_one_comparison_is_shown(
    whole, suite, registry, out
):
    few, more = whole[1], tuned(suite, out, registry, trials=9)
    for before, after in zip(few.encodings, more.encodings, strict=True):
        assert [t.keys for t in before.trials] == [t.keys for t in after.trials[:5]]
    shown, before = (
        {key for e in result.encodings for s in (e.default, e.tuned) for key in s.keys}
        for result in (more, few)
    )
    assert before - shown, "choose another SEED"
    assert {s.record.key for s in Store(out).records()} == shown
    assert before - shown <= {s.record.key for s in Store(out / "trials").records()}
    (suite,) = Store(out).suites()
    assert suite["name"] == "small-tuned"


def test_trials_run_in_shares_are_merged_and_taken_up(whole, suite, registry, tmp_path):
    trials = load_suite(str(whole[0] / "trials.toml"), registry)
    for number in (1, 2):
        run_suite(trials, tmp_path / str(number), registry=registry, shard=(number, 2), **HOW)
    merge([tmp_path / "1", tmp_path / "2"], tmp_path / "out" / "trials")
    counting = Counting()
    result = tuned(suite, tmp_path / "out", registry, watcher=counting, rerun="interrupted")
    assert result == whole[1]
    assert not any(" trial " in label for label in counting.ran)


def test_targets_to_tune_on_are_not_reported(suite, registry, tmp_path):
    tasks = ["wave:points=16", "wave:points=24", "wave:points=28"]
    changes = {"tasks": tasks, "encodings": ["stretched"], "ntk": {"points": 0}}
    several = Suite.model_validate(suite.model_dump(exclude_unset=True) | changes)
    result = tuned(several, tmp_path, registry, trials=2, tune_on=tasks[:1], tune_seeds=[0])
    assert (result.tune_on, result.report_on) == (tasks[:1], tasks[1:])
    assert not result.notes
    assert len(result.encodings[0].tuned.values) == 2
    assert result.legend.endswith("95 % interval over 2 targets.")
    assert "also tuned on" in plan_tuning(suite, registry=registry).asked.notes[0]


@pytest.mark.parametrize(
    "chosen", [{"metric": "psnr"}, {"tune_on": ["image:image=coffee,side=8,split=checker"]}]
)
def test_held_out_points_that_choose_the_settings_are_told(chosen):
    suite = Suite(
        encodings=["identity"], tasks=["image:side=8,split=checker"], training={"steps": 5}
    )
    settings = {"trials": 2, "registry": default_registry()}
    for metric in (None, "ms_ssim"):  # MS-SSIM is of the whole image
        said = plan_tuning(suite, metric=metric, **settings).asked.notes
        assert said[1].endswith("--metric psnr.")
    said = plan_tuning(suite, **settings, **chosen).asked.notes
    assert not any("held-out" in note for note in said)


@pytest.mark.parametrize(
    ("reported", "tuned_on"),
    [
        ("audio:sound=chord,duration=0.2,rate=16000", "audio:sound=chord,duration=0.2,rate=8000"),
        ("signal:kind=sines,side=64", "signal:kind=sines,side=65"),
        ("video:video=discs,frames=4,side=16", "video:video=discs,frames=5,side=16"),
        ("image:image=chelsea,side=16", "image:image=chelsea,side=15"),
    ],
)
def test_a_target_sampled_otherwise_is_the_same_target(reported, tuned_on):
    settings = {"trials": 2, "tune_on": [tuned_on], "registry": default_registry()}
    suite = Suite(encodings=["identity"], tasks=[reported], training={"steps": 5})
    with pytest.raises(UsageError, match="seed 0 would be tuned on and reported on the same"):
        plan_tuning(suite, tune_seeds=[0], **settings)
    assert "also tuned on" in plan_tuning(suite, tune_seeds=[1], **settings).asked.notes[0]


def test_what_space_fixes_holds_for_the_default_setting_too(suite, registry):
    space = ["training.batch_size=8", "stretched.scale=2..3", "fragile.forbidden=3"]
    tuning = plan_tuning(suite, space=space, registry=registry)
    stretched, fragile = tuning.searched
    assert {cell.training.batch_size for cell in plan(tuning.trial_suite(), registry)} == {8}
    assert [d.name for d in stretched.space] == ["scale", "forbidden", "training.lr_factor"]
    assert [d.name for d in fragile.space] == ["scale", "training.lr_factor"]
    assert all(2 <= scale <= 3 for scale, *_ in stretched.values)
    assert fragile.default.encoding.parameters["forbidden"] == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"trials": 1}, "trials must be at least 2"),
        ({"tune_seeds": [1000, 1]}, "seed 1 would be tuned on and reported on the same target"),
        ({"metric": "pnsr"}, "unknown metric 'pnsr'; did you mean 'psnr'"),
        ({"metric": "iou"}, "is not measured by it; it has psnr, ms_ssim"),
        ({"tune_on": ["wav"]}, "unknown task 'wav'"),
        ({"space": ["stretched.scale=2|2"]}, "a choice is given more than once"),
        ({"space": ["training.batch_size=8|4096"]}, "a batch of 4096 points is more than there"),
        ({"space": ["stretched.scale=3..4", "stretched.scale=1..2"]}, "given more than once"),
        ({"space": ["training.batch_size=many"]}, "batch_size = 'many'"),
        ({"space": ["stretched.forbidden=1", "stretched.scale=2..4"]}, "needs forbidden=3"),
        ({"space": ["training.schedule=cosin|step"]}, "unknown schedule 'cosin'"),
        ({"tasks": ["wave", "wave:points=20"]}, "2 tasks; say which to tune on"),
        ({"encodings": ["stretched", "stretched"]}, "is given twice"),
        (
            {
                "tasks": [
                    {"name": "wave", "training": {"optimizer": "adam"}},
                    {"name": "wave", "parameters": {"points": 8}},
                ],
                "tune_on": ["wave"],
            },
            "optimizers of their own (wave adam and wave:points=8 sgd)",
        ),
        ({"tasks": [{"name": "wave", "encodings": ["nan"]}, "wave:points=8"]}, "say which"),
    ],
)
def test_misuse_is_one_clear_line_before_anything_runs(suite, registry, tmp_path, given, message):
    settings = suite.model_dump(exclude_unset=True)
    changes = {key: value for key, value in given.items() if key in settings}
    rest = {key: value for key, value in given.items() if key not in settings}
    with pytest.raises(UsageError) as raised:
        tuned(Suite.model_validate(settings | changes), tmp_path / "out", registry, **rest)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_the_metric_that_decides_is_that_of_the_curve_of_the_task_as_it_is_built():
    registry = default_registry()
    built = {}
    for split in ("all", "checker"):
        task = {"name": "image", "parameters": {"side": 8, "split": split}}
        built[split] = plan(Suite(name="s", encodings=["identity"], tasks=[task]), registry)

    def metric_of(name, cells):
        return deciding_metric(name, facts_of(cells, registry), cells, registry)[0]

    assert metric_of(None, built["all"]) == "psnr"
    assert metric_of(None, built["checker"]) == "psnr_held_out"
    assert metric_of("psnr", built["checker"]) == "psnr"
    with pytest.raises(UsageError, match="--metric; the tasks' curves are of psnr, psnr_held_out"):
        metric_of(None, [*built["all"], *built["checker"]])


def test_not_a_number_is_no_value(whole):
    record = Store(whole[0]).records()[0].record
    assert value_of(record, "psnr") == record.metrics["psnr"].value
    record.metrics["psnr"].value = math.nan
    assert value_of(record, "psnr") is None
    assert value_of(None, "psnr") is None


def test_settings_that_a_budget_would_change_are_not_drawn():
    suite = Suite.model_validate(
        {
            "encodings": ["mpe"],
            "tasks": ["image:image=coffee,side=16", "image:image=chelsea,side=16"],
            "training": {"batch_size": 64, "steps": 8},
            "budget": {"parameters": 3_000},
        }
    )
    registry = default_registry()
    how = {"trials": 6, "tune_on": ["image:image=chelsea,side=16"], "registry": registry}
    fixed = ["training.lr=0.005", "training.batch_size=64", "training.encoding_lr_factor=1"]
    fixed += ["mpe.features_per_level=2"]
    tuning = plan_tuning(suite, space=["network.width=16|24|64|128", *fixed], **how)
    cells = plan(tuning.trial_suite(), registry)
    widths = [values for (values,) in tuning.searched[0].values]
    assert sorted(widths) == [16, 24]
    assert [cell.network.width for cell in cells[1:]] == widths
    assert any("holds no other settings" in note for note in tuning.asked.notes)
    with pytest.raises(UsageError, match=r"3,000 parameters need network\.width=33 instead of 128"):
        plan_tuning(suite, space=["network.width=64|128|256", *fixed], **how)


SMALL = ["--steps", "4", "--set", "network.width=8", "--set", "ntk.points=0"]


def encbench(*arguments, report="--no-report"):
    words = ["tune", "-t", "image:image=camera,side=8", *SMALL, report, *arguments]
    with contextlib.suppress(SystemExit):
        build(default_registry(), words)(args=words, standalone_mode=False)


def test_pages_are_made_when_it_is_known_what_tuning_gained(tmp_path, monkeypatch):
    seen = []

    def notify(self, hook, **given):
        if hook == "encbench_run_finished":
            seen.append(earlier_result(given["directory"]))

    monkeypatch.setattr(PluginHost, "notify", notify)
    given = ["-e", "identity", "--trials", "2", "-j", "1", "-o", str(tmp_path)]
    encbench(*given, report="--report")
    (result,) = seen
    assert result.encodings[0].tuned.mean is not None


def test_several_processes_choose_the_same_as_one(tmp_path):
    given = ["-e", "identity", "-e", "ffe", "--trials", "3", "--device", "cpu"]
    target = ["-t", "image:image=camera,side=8", *SMALL, "--no-report"]
    with (tmp_path / "log").open("w") as log:
        several = start("encbench", "tune", *target, *given, "-j", 2, "-o", tmp_path / "2", log=log)
    encbench(*given, "-j", "1", "-o", str(tmp_path / "1"))
    assert several.wait() == 0, (tmp_path / "log").read_text()
    one, two = (tmp_path / jobs / "tune.json" for jobs in "12")
    assert one.read_bytes() == two.read_bytes()


def test_tpe_proposes_the_same_again_from_the_recorded_values(suite, registry, tmp_path):
    pytest.importorskip("optuna", reason="an optional extra")
    plain = Suite.model_validate(suite.model_dump(exclude_unset=True) | {"ntk": {"points": 0}})
    how = {"sampler": "tpe", "rerun": "interrupted"}
    first = tuned(plain, tmp_path / "first", registry, trials=4, **how)
    tuned(plain, tmp_path / "second", registry, trials=2, **how)
    counting = Counting()
    second = tuned(plain, tmp_path / "second", registry, trials=4, watcher=counting, **how)
    assert second.encodings == first.encodings
    assert sum(" trial " in label for label in counting.ran) == 2 * 2
    assert "one after another" in first.protocol
    for encoding in first.encodings:
        assert len({json.dumps([t.parameters, t.training]) for t in encoding.trials}) == 4
        for trial in encoding.trials[1:]:
            assert trial.parameters["forbidden"] >= 3 or trial.parameters["scale"] <= 1


@pytest.mark.parametrize("higher", [True, False])
def test_tpe_ranks_a_trial_without_a_value_below_all_others(higher):
    tpe = pytest.importorskip("encbench.runs.tpe", reason="an optional extra")
    space = [Dimension("training", "lr", Search(1e-4, 1e4, log=True), whole=False)]

    def quality(lr: float) -> float | None:
        # best at 0.1; diverges above 1
        return None if lr > 1 else (-1 if higher else 1) * abs(math.log10(lr) + 1)

    diverged = 0
    for seed in range(5):
        proposals = tpe.Proposals(space, seed, lambda values: True, [0.1], higher=higher)
        proposals.tell(quality(0.1))
        rates = []
        for _ in range(30):
            rates += proposals.next()
            proposals.tell(quality(rates[-1]))
        diverged += sum(quality(rate) is None for rate in rates[10:])
    assert diverged < 45, "of 100"


def test_the_verb_shows_spaces_trials_and_the_result(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "160")
    given = ["-e", "identity", "--trials", "2", "-j", "1", "-o", str(tmp_path / "out")]
    encbench(*given, "-n")
    assert "searched in  0.0005..0.015:log" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
    encbench(*given, "--draw-only")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["trials.toml"]
    encbench(*given)
    assert "higher is better; one seed, no intervals." in capsys.readouterr().out
    with pytest.raises(UsageError, match="is an empty range"):
        encbench(*given, "--space", "training.lr=4..2")
    with pytest.raises(UsageError, match="tpe needs the results of earlier"):
        encbench(*given, "--draw-only", "--sampler", "tpe")
