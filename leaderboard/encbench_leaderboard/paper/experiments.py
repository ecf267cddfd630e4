"""Suites and tunings to run for each table, figure and claim, each into a folder of its own."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from encbench.errors import DataError, UsageError, did_you_mean, plural
from encbench.plugins.registry import Registry
from encbench.plugins.selector import format_selector
from encbench.runs.trials import Tuning, plan_tuning
from encbench.suite.file import LENGTHS, Suite, load_suite
from encbench.suite.plan import plan
from encbench_leaderboard.paper.evidence import EQUATION, READINGS, TUNED
from encbench_leaderboard.paper.printed import (
    EPOCHS_3,
    EPOCHS_4,
    FIGURES,
    SOLIDS,
    SYNSETS,
    TABLES,
    TRIALS,
)
from encbench_leaderboard.paper.synsets import synset_images

TABLE_2_SPACE = (
    "training.lr=0.01..1:log",
    "training.batch_size=10..100",
    "training.encoding_lr_factor=1",
    "ffe.levels=4..12",
    "mpe.features_per_level=1..4",
    "mpe.resolutions=[24, 69]|[24, 138]|[24, 277]|[48, 138]|[48, 277]|[96, 138]|[96, 277]",
)
"""Ranges around the settings that the paper's search found; its own ranges are not known."""
TUNED_SPACE = (
    "training.lr=0.00042|0.0017|0.0072",
    "training.encoding_lr_factor=1",
)
"""One of these three rates is near each encoding's best; trial 0 has the suite's rate."""


@dataclass(frozen=True)
class Scale:
    """How much of the paper is run."""

    readings: tuple[int, int, int]
    """Number of photographs of Table 3 for each of ``READINGS``."""
    side: int
    """Length of their longer side [px]."""
    seeds: tuple[int, ...]
    ntk_points: int
    table2_side: int
    synsets: int
    trials: int
    """Number of trials of Table 2's search."""
    rates: int
    """Number of trials of Adam's learning rate, including the suite's."""
    tuned: int
    """Number of photographs for Adam; the first is tuned on, the others are reported."""
    solids: tuple[str, ...]
    points: int
    """Points of a solid per epoch."""
    solid_epochs: int
    kernel_epochs: int = EPOCHS_3
    """Epochs of the networks of Eq. 13."""
    tuned_width: int = 512
    """Width of the network that Adam trains; like ``tuned_batch``, smaller if time is short."""
    tuned_batch: int = 256
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Settings that make every suite smaller, by section."""
    solid_changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    solid_task: Mapping[str, Any] = field(default_factory=dict)


PHOTOGRAPHS = ("chelsea", "astronaut", "coffee", "rocket", "hubble_deep_field")
SCALES = {
    "smoke": Scale(
        readings=(1, 2, 1),
        side=16,
        seeds=(0,),
        ntk_points=64,
        table2_side=16,
        synsets=2,
        trials=2,
        rates=2,
        tuned=2,
        solids=("knot",),
        points=16384,
        solid_epochs=1,
        kernel_epochs=2,
        tuned_width=32,
        tuned_batch=64,
        changes={"network": {"width": 256}, "training": {"epochs": 2, "evaluations": 2}},
        solid_changes={"network": {"width": 32}},
        solid_task={"resolution": 16, "side": 16},
    ),
    "laptop": Scale(
        readings=(1, 3, 1),
        side=128,
        seeds=(0,),
        ntk_points=1024,
        table2_side=48,
        synsets=4,
        trials=TRIALS,
        rates=4,
        tuned=5,
        solids=("knot", "flange"),
        points=32768,
        solid_epochs=40,
        kernel_epochs=60,
        tuned_width=256,
    ),
    "full": Scale(
        readings=(5, 5, 5),
        side=150,
        seeds=(0, 1, 2),
        ntk_points=4096,
        table2_side=256,
        synsets=SYNSETS,
        trials=TRIALS,
        rates=4,
        tuned=5,
        solids=("knot", "flange", "gyroid"),
        points=131072,
        solid_epochs=EPOCHS_4,
    ),
}
_QUALITY = (*READINGS, "table2", *TUNED)
ITEMS: dict[str, tuple[str, ...]] = {
    "table1": READINGS,
    "table2": ("table2",),
    "table3": READINGS,
    "table4": ("table4",),
    "claims": (*_QUALITY, "table4", EQUATION),
    "theorem": (EQUATION,),
    "tuned": TUNED,
    **dict.fromkeys(FIGURES, (READINGS[1],)),
    **dict.fromkeys(("figure7", "figure8"), ("table2",)),
    **dict.fromkeys(("figure9", "figure10", "figure14"), ("table4",)),
    "figure5": (READINGS[1], "table4"),
}
"""Items of ``--only``, and the experiments that each needs."""


@dataclass(frozen=True)
class Experiment:
    """A suite or a tuning, with the name of the folder that it runs into."""

    name: str
    title: str
    suite: Suite
    """For a tuning, the suite that is reported."""
    departs: str
    """How it differs from the paper's experiment, in a sentence."""
    tuning: Tuning | None = None
    save_weights: bool = False
    expected: float = 1.0
    """Expected share of its steps that are made: cells that diverge end early."""


def wanted_items(only: Iterable[str]) -> list[str]:
    """Return the items of ``--only A,B --only C`` in the order of ``ITEMS``; without any, "claims".

    Raises:
        UsageError: there is no such item.
    """
    names = [name.strip().lower() for text in only for name in text.split(",")]
    for name in names:
        if name not in ITEMS:
            known = f"{', '.join([*TABLES, 'claims', 'theorem', 'tuned'])}, figure2 … figure14"
            hint = did_you_mean(name, ITEMS, f"there are: {known}")
            raise UsageError(f"--only {name!r} is no part of the paper{hint}")
    return [name for name in ITEMS if name in names] if names else ["claims"]


def experiments(
    scale: Scale,
    items: Collection[str],
    images: Path | None,
    meshes: Sequence[str],
    registry: Registry,
) -> tuple[list[Experiment], list[str]]:
    """Return the experiments that the items need, checked, and notes for the reader.

    Raises:
        UsageError: images or a mesh cannot be read, or no requested item needs them.
    """
    needed = {name for item in items for name in ITEMS[item]}
    for option, given, name in (("images", images, "table2"), ("mesh", meshes, "table4")):
        if given and name not in needed:
            raise UsageError(f"--{option} is for {name}, which --only {','.join(items)} leaves out")
    notes: list[str] = []
    made: list[Experiment] = []
    if needed & set(READINGS):
        made += [one for one in _table3(scale, registry) if one.name in needed]
    if "table2" in needed:
        made.append(_table2(scale, images, registry, notes))
    made += [_tuned(scale, name, registry) for name in TUNED if name in needed]
    if EQUATION in needed:
        made.append(_equation(scale, registry))
    if "table4" in needed:
        made += _table4(scale, meshes, registry, notes)
    for one in made:
        plan(one.suite, registry)
    return made, notes


def _suite(
    name: str, source: str, scale: Scale, tasks: Iterable[Mapping[str, Any]], registry: Registry
) -> dict[str, Any]:
    """The packaged suite ``source`` with these tasks, at the scale's size."""
    data = load_suite(source, registry).model_dump(exclude_unset=True)
    data |= {"name": name, "tasks": list(tasks), "seeds": list(scale.seeds)}
    data["ntk"] = {"points": scale.ntk_points}
    for section, values in scale.changes.items():
        data[section] = _changed(data.get(section, {}), values)
    return data


def _changed(section: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    dropped = LENGTHS if LENGTHS & values.keys() else frozenset[str]()
    return {key: value for key, value in section.items() if key not in dropped} | dict(values)


def _images(parameters: Iterable[Mapping[str, Any]], **more: Any) -> list[dict[str, Any]]:
    return [{"name": "image", "parameters": {**one, **more}} for one in parameters]


def _photographs(count: int, side: int) -> list[dict[str, Any]]:
    return [{"image": name, "side": side} for name in PHOTOGRAPHS[:count]]


def _table3(scale: Scale, registry: Registry) -> list[Experiment]:
    data = _suite(READINGS[0], "paper/table3", scale, (), registry)
    rates = {
        READINGS[0]: ("fan_in", {"lr": 100.0}, "lr 100, 1/√d_e in the first layer"),
        READINGS[1]: ("width", {"lr": 100.0}, "lr 100, 1/√width in the first layer"),
        READINGS[2]: ("fan_in", {"lr": "auto", "lr_factor": 1.5}, "lr 1.5 · lr_crit"),
    }
    made = []
    for count, (name, (first, rate, title)) in zip(scale.readings, rates.items(), strict=True):
        changed = data | {
            "name": name,
            "tasks": _images(_photographs(count, scale.side)),
            "network": data["network"] | {"first_layer_scale": first},
            "training": data["training"] | rate,
        }
        seeds = f" and {len(scale.seeds)} seeds" if len(scale.seeds) > 1 else ""
        departs = f"{plural(count, 'photograph')} of {scale.side} px{seeds}; the paper: one image"
        suite = Suite.model_validate(changed)
        made.append(
            Experiment(
                name,
                f"Tables 1 and 3, {title}",
                suite,
                departs,
                # figures 12 and 13 show what the network learned
                save_weights=name == READINGS[1],
                expected=1 / 6 if name == READINGS[0] else 1,
            )
        )
    return made


def _table2(scale: Scale, images: Path | None, registry: Registry, notes: list[str]) -> Experiment:
    if images is None:
        chosen = _photographs(scale.synsets, scale.table2_side)
        what = f"{len(chosen)} photographs"
    else:
        chosen, more = synset_images(images, scale.synsets, scale.table2_side, registry)
        notes += more
        what = f"{len(chosen)} images of {images}"
    data = _suite("table2", "paper/table2", scale, _images(chosen), registry)
    sampler = "tpe"
    if find_spec("optuna") is None:
        sampler = "sobol"
        notes.append("Optuna is not installed (pip install 'encbench[tpe]'): Sobol points instead")
    tuning = plan_tuning(
        Suite.model_validate(data),
        trials=scale.trials,
        tune_on=[format_selector("image", chosen[0])],
        space=TABLE_2_SPACE,
        metric="psnr",
        sampler="tpe" if sampler == "tpe" else "sobol",
        registry=registry,
    )
    departs = (
        f"{what} of at most {scale.table2_side} px instead of {SYNSETS} images of ImageNet, tuned "
        f"on the first and reported on the others; {scale.trials} trials by {sampler} in ranges "
        "of our own around the paper's results, of which trial 0 is the paper's setting"
    )
    return Experiment("table2", "Table 2, tuned", tuning.suite, departs, tuning)


def _tuned(scale: Scale, name: str, registry: Registry) -> Experiment:
    split = {"split": "checker"} if name == TUNED[1] else {}
    tasks = _images(_photographs(scale.tuned, scale.side), **split)
    data = _suite(name, "paper/tuned", scale, tasks, registry)
    data["network"]["width"] = scale.tuned_width
    tuning = plan_tuning(
        Suite.model_validate(data),
        trials=scale.rates,
        tune_on=[format_selector("image", tasks[0]["parameters"])],
        space=(*TUNED_SPACE, f"training.batch_size={scale.tuned_batch}"),
        registry=registry,
    )
    where = "at pixels held out" if split else "at all pixels"
    width = f"; width {scale.tuned_width}" if scale.tuned_width != 512 else ""
    departs = (
        f"Adam with a cosine to a tenth, the rate chosen on {PHOTOGRAPHS[0]} and reported on "
        f"{plural(scale.tuned - 1, 'other')}{width}"
    )
    return Experiment(name, f"Adam and decay, tuned, {where}", tuning.suite, departs, tuning)


def _equation(scale: Scale, registry: Registry) -> Experiment:
    tasks = _images(_photographs(1, scale.side))
    data = _suite(EQUATION, "paper/table3", scale, tasks, registry)
    data["training"] = _changed(data["training"], {"epochs": scale.kernel_epochs})
    grids = {"MPE k=2 L=1 32²": ([32], 2), "MPE k=3 L=2 24² 96²": ([24, 96], 3)}
    data["encodings"] = [
        {"name": "mpe", "label": label, "parameters": {"resolutions": n, "features_per_level": k}}
        for label, (n, k) in grids.items()
    ]
    departs = (
        f"grids of our own, {scale.kernel_epochs} epochs; the network without an encoding has the "
        "same weights"
    )
    suite = Suite.model_validate(data)
    return Experiment(EQUATION, "Theorem 1 and Eq. 13", suite, departs, save_weights=True)


def _table4(
    scale: Scale, meshes: Sequence[str], registry: Registry, notes: list[str]
) -> list[Experiment]:
    task = registry.find("task", "occupancy").load()
    if not meshes:
        scans = [f"stanford-{name}" for name in SOLIDS]
        if scale.solid_epochs == 1:
            meshes = scale.solids
            notes.append("Table 4 on built-in solids, at this scale; --mesh PATH takes another")
        elif all(_is_there(task, name) for name in scans):
            meshes = scans
        else:
            meshes = scale.solids
            notes.append(
                "Table 4 on built-in solids: its scans are not on this machine; encbench data "
                "fetch gets them, or give --mesh PATH"
            )
    made = []
    for place, mesh in enumerate(dict.fromkeys(meshes)):
        parameters = {"mesh": mesh, "points": scale.points, "near_surface": 0.0}
        parameters |= dict(scale.solid_task)
        try:
            task(**parameters)
        except DataError as error:
            raise UsageError(f"--mesh {mesh}: {error}") from None
        # a mesh that is none of the three has the settings of one of them
        label = Path(mesh.removesuffix(".gz")).stem
        like = next((name for name in SOLIDS if name in label.lower()), SOLIDS[0])
        entry = {"name": "occupancy", "parameters": parameters, "label": label}
        name = f"table4-{place + 1}"
        data = _suite(name, f"paper/table4-{like}", scale, [entry], registry)
        epochs = {"training": {"epochs": scale.solid_epochs}}
        for section, values in (*epochs.items(), *scale.solid_changes.items()):
            data[section] = _changed(data[section], values)
        departs = f"{scale.solid_epochs} of {EPOCHS_4} epochs, {scale.points:,} points each" + (
            "" if like in label.lower() else f", with the settings of the {like}"
        )
        suite = Suite.model_validate(data)
        made.append(Experiment(name, f"Table 4, {label}", suite, departs))
    return made


def _is_there(task: Any, mesh: str) -> bool:
    try:
        task.data_hash(mesh=mesh)
    except DataError:
        return False
    return True
