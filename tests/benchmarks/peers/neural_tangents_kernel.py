"""The trace kernel of a ReLU network in NTK parameterization, by neural-tangents.

    python neural_tangents_kernel.py problem.npz result.npz repeats

problem.npz: x (N, d); w0, b0, w1, b1, … and scales; beta; for a grid also rows (N, 2^d),
weights (N, 2^d) and table (nodes, k). result.npz: kernel (N, N), seconds (repeats,).
"""

import os
import sys
import time

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["JAX_ENABLE_X64"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import jax  # noqa: E402 # the variables above are read on import
import jax.numpy as jnp  # noqa: E402
import neural_tangents as nt  # noqa: E402
import numpy as np  # noqa: E402


def main(problem: str, result: str, repeats: int) -> None:
    given = np.load(problem)
    layers = sum(name.startswith("w") and name[1:].isdigit() for name in given.files)
    parameters = {
        name: jnp.asarray(given[name])
        for name in given.files
        if (name[0] in "wb" and name[1:].isdigit()) or name == "table"
    }
    scales, beta = given["scales"], float(given["beta"])
    x = {"x": jnp.asarray(given["x"])}
    if "table" in given.files:
        x |= {"rows": jnp.asarray(given["rows"]), "weights": jnp.asarray(given["weights"])}

    def apply(p, x):
        h = x["x"]
        if "rows" in x:
            h = jnp.concatenate(
                [jnp.einsum("nj,njk->nk", x["weights"], p["table"][x["rows"]]), h], 1
            )
        for layer in range(layers):
            h = h @ p[f"w{layer}"] * scales[layer] + beta * p[f"b{layer}"]
            if layer < layers - 1:
                h = jax.nn.relu(h)
        return h

    kernel = jax.jit(
        nt.empirical_ntk_fn(
            apply,
            trace_axes=(-1,),
            vmap_axes=0,
            implementation=nt.NtkImplementation.STRUCTURED_DERIVATIVES,
        ),
        static_argnums=(),
    )
    value = kernel(x, None, parameters).block_until_ready()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        kernel(x, None, parameters).block_until_ready()
        seconds.append(time.perf_counter() - start)
    np.savez(result, kernel=np.asarray(value), seconds=np.asarray(seconds))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
