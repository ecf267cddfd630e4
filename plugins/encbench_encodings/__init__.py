"""The built-in encodings, one a file; the file's name is the registered name."""

from collections.abc import Mapping

from encbench import hookimpl


@hookimpl
def encbench_encodings() -> Mapping[str, str]:
    return {
        "composite": "encbench_encodings.composite:Composite",
        "densegrid": "encbench_encodings.densegrid:DenseGrid",
        "dictionary_field": "encbench_encodings.dictionary_field:DictionaryField",
        "ffe": "encbench_encodings.ffe:FourierFeatureEncoding",
        "finer": "encbench_encodings.finer:FinerEncoding",
        "gaussian_ffe": "encbench_encodings.gaussian_ffe:GaussianFourierFeatures",
        "grid": "encbench_encodings.grid:Grid",
        "hashgrid": "encbench_encodings.hashgrid:HashGrid",
        "hashgrid_paper": "encbench_encodings.hashgrid_paper:HashGridPaper",
        "identity": "encbench_encodings.identity:Identity",
        "kplanes": "encbench_encodings.kplanes:KPlanes",
        "mpe": "encbench_encodings.mpe:MultigridParametricEncoding",
        "oneblob": "encbench_encodings.oneblob:OneBlob",
        "permutohedral": "encbench_encodings.permutohedral:Permutohedral",
        "siren": "encbench_encodings.siren:Siren",
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
