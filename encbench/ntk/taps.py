"""Hooks that listen to chosen modules during a forward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

__all__ = ["Taps"]


class Taps:
    """Inputs and outputs of modules during the last forward pass, as a context manager.

    ``inputs[name]`` is detached; ``outputs[name]`` is in the graph, even where nothing before
    it requires gradients, so that ∂f/∂h can be asked of it.
    """

    FEATURES = "encoding (features)"

    def __init__(self, model: nn.Module, names: Sequence[str], features: bool) -> None:
        self.inputs: dict[str, Tensor] = {}
        self.outputs: dict[str, Tensor] = {}
        self._calls: dict[str, int] = {}
        self._modules = {name: model.get_submodule(name) for name in names}
        self._encoding = model.get_submodule("encoding") if features else None
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Taps:
        for name, module in self._modules.items():
            self._handles.append(module.register_forward_hook(self._listener(name)))
        if self._encoding is not None:
            hook = self._listener(self.FEATURES)
            self._handles.append(self._encoding.register_forward_hook(hook))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for handle in self._handles:
            handle.remove()

    def clear(self) -> None:
        """Forget the last pass."""
        self.inputs.clear()
        self.outputs.clear()
        self._calls.clear()

    def valid(self, name: str, rows: int) -> bool:
        """Whether the module was called once, with (rows, n_in) giving (rows, n_out)."""
        if self._calls.get(name) != 1:
            return False
        shapes = (self.inputs[name].shape, self.outputs[name].shape)
        return all(len(shape) == 2 and shape[0] == rows for shape in shapes)

    def _listener(self, name: str) -> Callable[[nn.Module, Any, Any], Tensor | None]:
        def listen(module: nn.Module, args: Any, out: Any) -> Tensor | None:
            if not args or not isinstance(args[0], Tensor) or not isinstance(out, Tensor):
                self._calls[name] = 2  # called in a way we cannot follow
                return None
            self._calls[name] = self._calls.get(name, 0) + 1
            self.inputs[name] = args[0].detach()
            h = out if out.requires_grad else out.detach().requires_grad_()
            self.outputs[name] = h
            # An activation that works in place must not change h, so it gets a copy.
            return h.clone()

        return listen
