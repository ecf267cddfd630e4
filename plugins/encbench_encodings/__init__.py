"""The built-in encodings, one per file; the file name is the registered name."""

from collections.abc import Mapping

from encbench import hookimpl


@hookimpl
def encbench_encodings() -> Mapping[str, str]:
    return {
        "bspline_grid": "encbench_encodings.bspline_grid:BSplineGrid",
        "cafe": "encbench_encodings.cafe:Cafe",
        "chebyshev": "encbench_encodings.chebyshev:ChebyshevFeatures",
        "composite": "encbench_encodings.composite:Composite",
        "densegrid": "encbench_encodings.densegrid:DenseGrid",
        "dictionary_field": "encbench_encodings.dictionary_field:DictionaryField",
        "ffe": "encbench_encodings.ffe:FourierFeatureEncoding",
        "finer": "encbench_encodings.finer:FinerEncoding",
        "gaplanes": "encbench_encodings.gaplanes:GAPlanes",
        "gaussian": "encbench_encodings.gaussian:GaussianFirstLayer",
        "gaussian_ffe": "encbench_encodings.gaussian_ffe:GaussianFourierFeatures",
        "grid": "encbench_encodings.grid:Grid",
        "hashgrid": "encbench_encodings.hashgrid:HashGrid",
        "hashgrid_paper": "encbench_encodings.hashgrid_paper:HashGridPaper",
        "identity": "encbench_encodings.identity:Identity",
        "kan_bspline": "encbench_encodings.kan_bspline:KanBSpline",
        "kplanes": "encbench_encodings.kplanes:KPlanes",
        "legendre": "encbench_encodings.legendre:LegendreFeatures",
        "mpe": "encbench_encodings.mpe:MultigridParametricEncoding",
        "oneblob": "encbench_encodings.oneblob:OneBlob",
        "permutohedral": "encbench_encodings.permutohedral:Permutohedral",
        "rbf_grid": "encbench_encodings.rbf_grid:RbfGrid",
        "siren": "encbench_encodings.siren:Siren",
        "sl2a": "encbench_encodings.sl2a:Sl2a",
        "sparse_multigrid": "encbench_encodings.sparse_multigrid:SparseMultigrid",
        "spherical_harmonics": "encbench_encodings.spherical_harmonics:SphericalHarmonics",
        "symmetric": "encbench_encodings.symmetric:Symmetric",
        "tensorf_cp": "encbench_encodings.tensorf_cp:TensorfCP",
        "tensorf_vm": "encbench_encodings.tensorf_vm:TensorfVM",
        "tiledgrid": "encbench_encodings.tiledgrid:TiledGrid",
        "triangle_wave": "encbench_encodings.triangle_wave:TriangleWave",
        "triplane": "encbench_encodings.triplane:TriPlane",
        "wire": "encbench_encodings.wire:Wire",
    }
