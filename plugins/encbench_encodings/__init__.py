"""The built-in encodings, one a file; the file's name is the registered name."""

from collections.abc import Mapping

from encbench import hookimpl


@hookimpl
def encbench_encodings() -> Mapping[str, str]:
    return {
        "densegrid": "encbench_encodings.densegrid:DenseGrid",
        "dictionary_field": "encbench_encodings.dictionary_field:DictionaryField",
        "ffe": "encbench_encodings.ffe:FourierFeatureEncoding",
        "gaussian_ffe": "encbench_encodings.gaussian_ffe:GaussianFourierFeatures",
        "hashgrid": "encbench_encodings.hashgrid:HashGrid",
        "identity": "encbench_encodings.identity:Identity",
        "kplanes": "encbench_encodings.kplanes:KPlanes",
        "mpe": "encbench_encodings.mpe:MultigridParametricEncoding",
        "tensorf_cp": "encbench_encodings.tensorf_cp:TensorfCP",
        "tensorf_vm": "encbench_encodings.tensorf_vm:TensorfVM",
        "tiledgrid": "encbench_encodings.tiledgrid:TiledGrid",
        "triplane": "encbench_encodings.triplane:TriPlane",
    }
