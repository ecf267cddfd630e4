"""BibTeX of the framework's own methods, and of plug-ins that give only their source."""

from __future__ import annotations

import re

__all__ = ["ENCBENCH", "MPE", "MS_SSIM", "NTK", "entries_of", "from_source"]

ENCBENCH = """\
@software{{encbench,
  title = {{encbench: a benchmark suite for input encodings of coordinate networks}},
  author = {{{{The encbench authors}}}},
  version = {{{version}}}
}}"""
MPE = """\
@inproceedings{audia2025grids,
  title = {How Learnable Grids Recover Fine Detail in Low Dimensions: A Neural Tangent Kernel
           Analysis of Multigrid Parametric Encodings},
  author = {Audia, Samuel and Feizi, Soheil and Zwicker, Matthias and Manocha, Dinesh},
  booktitle = {International Conference on Learning Representations},
  year = {2025}
}"""
NTK = """\
@inproceedings{jacot2018neural,
  title = {Neural Tangent Kernel: Convergence and Generalization in Neural Networks},
  author = {Jacot, Arthur and Gabriel, Franck and Hongler, Cl{\\'e}ment},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {31},
  year = {2018}
}
@inproceedings{novak2022fast,
  title = {Fast Finite Width Neural Tangent Kernel},
  author = {Novak, Roman and Sohl-Dickstein, Jascha and Schoenholz, Samuel S.},
  booktitle = {International Conference on Machine Learning},
  year = {2022}
}"""
MS_SSIM = """\
@inproceedings{wang2003multiscale,
  title = {Multiscale Structural Similarity for Image Quality Assessment},
  author = {Wang, Zhou and Simoncelli, Eero P. and Bovik, Alan C.},
  booktitle = {The Thirty-Seventh Asilomar Conference on Signals, Systems \\& Computers},
  volume = {2},
  pages = {1398--1402},
  year = {2003}
}"""
_SPECIAL = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        **{character: f"\\{character}" for character in "&%$#_"},
    }
)


def entries_of(bibtex: str) -> dict[str, str]:
    """Key to entry, of a text that holds some."""
    parts = re.split(r"(?m)^\s*(?=@\w+\s*\{)", bibtex.strip())
    return {
        match[1].strip(): part.strip()
        for part in parts
        if (match := re.match(r"@\w+\s*\{([^,]+),", part))
    }


def from_source(kind: str, name: str, distribution: str, version: str, source: str) -> str:
    """An entry for what says in words where it comes from."""
    key = re.sub(r"[^\w-]", "-", f"{distribution}-{name}")
    return (
        f"@misc{{{key},\n"
        f"  title = {{The {kind} {name.translate(_SPECIAL)} of "
        f"{distribution.translate(_SPECIAL)} {version.translate(_SPECIAL)}}},\n"
        f"  note = {{{' '.join(source.split()).translate(_SPECIAL)}}}\n"
        "}"
    )
