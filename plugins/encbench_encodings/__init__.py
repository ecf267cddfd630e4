"""The built-in encodings, one a file; the file's name is the registered name."""

from collections.abc import Mapping

from encbench import hookimpl


@hookimpl
def encbench_encodings() -> Mapping[str, str]:
    return {
        "densegrid": "encbench_encodings.densegrid:DenseGrid",
        "ffe": "encbench_encodings.ffe:FourierFeatureEncoding",
        "gaussian_ffe": "encbench_encodings.gaussian_ffe:GaussianFourierFeatures",
        "hashgrid": "encbench_encodings.hashgrid:HashGrid",
        "identity": "encbench_encodings.identity:Identity",
        "mpe": "encbench_encodings.mpe:MultigridParametricEncoding",
        "tiledgrid": "encbench_encodings.tiledgrid:TiledGrid",
    }
