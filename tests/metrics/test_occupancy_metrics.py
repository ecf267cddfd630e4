"""Metrics of occupancies and surfaces, compared with values computed by hand."""

import math

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from encbench import PluginError
from encbench.metrics.bce import Bce, bce
from encbench.metrics.chamfer_l1 import ChamferL1
from encbench.metrics.f_score import FScore
from encbench.metrics.iou import Iou, NearSurfaceIou, iou
from encbench.metrics.ms_ssim import DepthMsSsim, ms_ssim
from encbench.metrics.normal_consistency import NormalConsistency
from encbench.metrics.psnr import DepthPsnr, psnr
from encbench.metrics.surface import Surface, distances
from encbench.plugins.registry import default_registry

SURFACE_METRICS = [ChamferL1(), FScore(), NormalConsistency()]


def surface(mesh, count=2000, seed=0):
    points, face = trimesh.sample.sample_surface(mesh, count, seed=seed)
    return Surface(
        np.array(mesh.vertices, float),
        np.array(mesh.faces, np.int64),
        np.array(points),
        np.array(mesh.face_normals[face]),
    )


EMPTY = Surface(*(np.empty((0, 3), dtype) for dtype in (float, np.int64, float, float)))
BOX = trimesh.creation.box()


def test_all_are_found_by_name():
    names = {offer.name for offer in default_registry().offers("metric")}
    assert names >= {
        *("iou", "near_surface_iou", "bce", "chamfer_l1", "f_score", "normal_consistency"),
        *("depth_psnr", "depth_ms_ssim"),
    }


def test_iou_counts_points():
    p = np.array([0.9, 0.8, 0.2, 0.6, 0.5])
    inside = np.array([True, False, True, True, False])
    assert iou(p, inside) == 2 / 4
    assert Iou()(p, inside).details == {"points": 5}
    assert NearSurfaceIou()(p, inside).value == 2 / 4


def test_a_probability_of_one_half_is_outside():
    assert iou([0.5], [True]) == 0
    assert iou([np.nextafter(0.5, 1)], [True]) == 1


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_iou_is_that_of_sets_and_symmetric(pairs):
    a, b = (np.array(side) for side in zip(*pairs, strict=True))
    first, second = (set(np.flatnonzero(side)) for side in (a, b))
    expected = len(first & second) / len(first | second) if first | second else None
    assert iou(a.astype(float), b) == expected == iou(b.astype(float), a)


def test_two_empty_sets_have_no_iou_and_say_why():
    value = Iou()(np.zeros(4), np.zeros(4, bool))
    assert value.value is None
    assert "no point is inside" in value.details["reason"]


@pytest.mark.parametrize("metric", [Iou(), NearSurfaceIou(), Bce()])
def test_a_prediction_that_is_not_finite_has_no_value(metric):
    value = metric(np.array([0.3, np.nan]), np.array([True, False]))
    assert value.value is None
    assert "not finite" in value.details["reason"]


def test_bce_is_torchs():
    rng = np.random.default_rng(0)
    p, inside = rng.random(1000), rng.random(1000) < 0.3
    expected = torch.nn.functional.binary_cross_entropy(
        torch.from_numpy(p), torch.from_numpy(inside.astype(float))
    )
    assert bce(p, inside) == pytest.approx(expected.item(), rel=1e-12)
    assert bce(np.full(10, 0.5), inside[:10]) == pytest.approx(math.log(2))
    ends = np.array([0.0, 1.0], dtype=np.float32)
    assert bce(ends, [False, True]) == pytest.approx(2.0**-24), "the smallest value"
    assert bce(ends, [True, False]) == pytest.approx(24 * math.log(2)), "the largest value"


def test_bce_of_a_confident_error_is_finite():
    assert bce([0.0], [True]) == pytest.approx(24 * math.log(2))
    assert bce([1.0], [False]) == pytest.approx(24 * math.log(2))


@pytest.mark.parametrize("function", [iou, bce])
def test_shapes_that_differ_are_refused(function):
    with pytest.raises(PluginError, match="equal shape"):
        function([0.1, 0.2], [True])


def test_distances_of_surfaces_are_computed_once_for_all_metrics():
    distances.cache_clear()
    a, b = surface(BOX), surface(BOX, seed=1)
    for metric in SURFACE_METRICS:
        metric(a, b)
    assert distances.cache_info().misses == 1
    with pytest.raises(ValueError, match="read-only"):
        a.points[0] = 0


def test_equal_surfaces_are_perfect_whatever_the_samples():
    a, b = surface(BOX, seed=0), surface(BOX, seed=1)
    chamfer, f_score, normals = (metric(a, b).value for metric in SURFACE_METRICS)
    assert chamfer == pytest.approx(0, abs=1e-7)
    assert f_score == 1
    assert normals == pytest.approx(1, abs=1e-3)


def test_concentric_spheres_are_their_difference_apart():
    a = surface(trimesh.creation.icosphere(subdivisions=5, radius=0.40))
    b = surface(trimesh.creation.icosphere(subdivisions=5, radius=0.45))
    assert ChamferL1()(a, b).value == pytest.approx(0.05, rel=0.01)
    assert FScore()(a, b).value == 0
    assert NormalConsistency()(a, b).value == pytest.approx(1, abs=5e-3)


def test_distances_to_triangles_are_those_to_dense_samples():
    a = surface(trimesh.creation.icosphere(subdivisions=2, radius=0.6), 300)
    b = surface(BOX, 300)
    found = distances(a, b)
    dense = cKDTree(surface(BOX, 400_000, seed=5).points)
    np.testing.assert_allclose(found.to_truth, dense.query(a.points)[0], atol=5e-3)
    # samples lie on the triangles, so their distances are never smaller
    assert (found.to_truth <= dense.query(a.points)[0] + 1e-9).all()


def test_half_a_surface_has_full_precision_and_half_the_recall():
    plates = trimesh.util.concatenate(
        [
            trimesh.creation.box([1, 1, 1e-3]),
            trimesh.creation.box([1, 1, 1e-3]).apply_translation([0, 0, 1]),
        ]
    )
    one = trimesh.creation.box([1, 1, 1e-3])
    value = FScore()(surface(one), surface(plates, 20_000))
    assert value.value == pytest.approx(2 * 0.5 / 1.5, rel=0.02)
    assert value.details == {"samples": 20_000, "threshold": 0.01}


@pytest.mark.parametrize(("apart", "value"), [(0.009, 1), (0.011, 0)])
def test_surfaces_agree_where_they_are_closer_than_a_hundredth(apart, value):
    plate = trimesh.creation.box([1, 1, 1e-6])
    moved = plate.copy().apply_translation([0, 0, apart])
    assert FScore()(surface(moved), surface(plate)).value == value


def test_normals_across_each_other_do_not_agree_and_opposite_ones_do():
    a = surface(trimesh.creation.box([1, 1, 1e-6]))
    flipped = Surface(a.vertices, a.faces[:, ::-1], a.points, -a.normals)
    assert NormalConsistency()(flipped, a).value == pytest.approx(1, abs=0.01)
    across = Surface(a.vertices, a.faces, a.points, np.roll(a.normals, 1, axis=1))
    value = NormalConsistency()(across, a).value
    assert value == pytest.approx(0.5, abs=0.01)  # samples of the truth still agree


def test_an_empty_prediction_has_no_distance_and_an_f_score_of_zero():
    truth = surface(BOX)
    assert ChamferL1()(EMPTY, truth).value is None
    assert "empty" in ChamferL1()(EMPTY, truth).details["reason"]
    assert NormalConsistency()(EMPTY, truth).value is None
    assert FScore()(EMPTY, truth).value == 0


def test_an_empty_truth_is_the_tasks_fault():
    with pytest.raises(PluginError, match="true surface is empty"):
        distances(surface(BOX), EMPTY)


def test_depth_metrics_are_those_of_images_view_by_view():
    rng = np.random.default_rng(0)
    truth = rng.random((64, 64, 3)).astype(np.float32)
    got = np.clip(truth + 0.1 * rng.standard_normal(truth.shape), 0, 1).astype(np.float32)
    assert DepthPsnr()(got, truth).value == psnr(got, truth)
    each = [ms_ssim(got[..., k : k + 1], truth[..., k : k + 1])[0] for k in range(3)]
    assert DepthMsSsim()(got, truth).value == pytest.approx(np.mean(each), rel=1e-9)
    assert {DepthPsnr.kind, DepthMsSsim.kind} == {"depth"}


@pytest.mark.parametrize("labels", [[0.3, 1], [math.nan, 1], [2, 0]], ids=str)
@pytest.mark.parametrize("metric", [Iou, Bce])
def test_labels_that_are_neither_0_nor_1_are_refused(metric, labels):
    # converted to booleans they would all be inside
    with pytest.raises(PluginError, match="labels that are 0 or 1, got"):
        metric()(np.array([0.2, 0.8]), np.array(labels))
