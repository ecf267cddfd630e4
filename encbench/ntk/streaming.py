"""K v = J (Jᵀ v) by one pass back and one forward-mode pass over the points, nothing kept."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp

__all__ = ["Stream"]

CHUNK = 4096


class Stream:
    """Products with the kernel of the named parameters, for any differentiable model.

    Structure is not used, so this is also the plain reference of the cached products.
    """

    def __init__(self, model: nn.Module, x: Tensor, names: Iterable[str], outputs: int) -> None:
        self.points, self.outputs = len(x), outputs
        self.model, self.x = model, x
        named = dict(model.named_parameters())
        self.parameters = {name: named[name].detach() for name in sorted(names)}

    def _forward(self, parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        result: Tensor = functional_call(self.model, parameters, (x,))
        return result

    def _pull(self, v: Tensor) -> dict[str, Tensor]:
        """Jᵀ v for v (N, O)."""
        leaves = {name: p.clone().requires_grad_() for name, p in self.parameters.items()}
        for start in range(0, len(self.x), CHUNK):
            part = slice(start, start + CHUNK)
            with torch.enable_grad():
                f = self._forward(leaves, self.x[part])
            torch.autograd.backward(f, v[part])
        grads = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in leaves.items()}
        return {n: g.to_dense() if g.is_sparse else g for n, g in grads.items()}

    def _push(self, tangent: dict[str, Tensor]) -> Tensor:
        """J u for a tangent u of all parameters: (N, O)."""
        parts = [self.x[start : start + CHUNK] for start in range(0, len(self.x), CHUNK)]
        try:
            return torch.cat([self._forward_mode(x, tangent) for x in parts])
        except (NotImplementedError, RuntimeError):  # some operations have no forward mode
            return torch.cat([self._twice_backward(x, tangent) for x in parts])

    def _forward_mode(self, x: Tensor, tangent: dict[str, Tensor]) -> Tensor:
        with warnings.catch_warnings():
            # torch's own forward mode calls a deprecated function of torch when first used.
            warnings.filterwarnings("ignore", ".*torch.jit.script", DeprecationWarning)
            df: Tensor = jvp(lambda p: self._forward(p, x), (self.parameters,), (tangent,))[1]
            return df

    def _twice_backward(self, x: Tensor, tangent: dict[str, Tensor]) -> Tensor:
        """J u as the derivative of (Jᵀ w) · u, which is linear in w."""
        leaves = {name: p.clone().requires_grad_() for name, p in self.parameters.items()}
        with torch.enable_grad():
            f = self._forward(leaves, x)
            w = torch.zeros_like(f, requires_grad=True)
            grads = torch.autograd.grad(
                f, list(leaves.values()), w, create_graph=True, materialize_grads=True
            )
            dot = torch.stack([(g * u).sum() for g, u in zip(grads, tangent.values(), strict=True)])
            return torch.autograd.grad(dot.sum(), w)[0]

    def apply(self, v: Tensor) -> Tensor:
        """The full kernel's product with v (N, O)."""
        return self._push(self._pull(v))

    def apply_trace(self, v: Tensor) -> Tensor:
        """The trace kernel's product with v (N,): one product an output."""
        total = torch.zeros_like(v)
        for a in range(self.outputs):
            one = torch.zeros(len(v), self.outputs, dtype=v.dtype, device=v.device)
            one[:, a] = v
            total += self.apply(one)[:, a]
        return total / self.outputs
