"""Built-in optimizers, and the construction of torch optimizers from them."""

from __future__ import annotations

import math
from collections.abc import Collection
from functools import cache
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from encbench.contracts.activation import Activation
from encbench.contracts.optimizer import Optimizer
from encbench.errors import ParameterError, did_you_mean
from encbench.suite.config import NetworkConfig

Beta = Annotated[float, Field(ge=0, lt=1, description="decay of a running mean")]
Epsilon = Annotated[float, Field(gt=0, description="added to the denominator")]
WeightDecay = Annotated[float, Field(ge=0, description="weight decay")]
ADAM_LR = 5e-3
USUAL_DEPTH = 2
SLICE_SIZE = 1 << 14
"""Numbers that one multiprocessor of a GPU updates, for parameters with at most LARGE numbers."""
LARGE = 1 << 20
PERIODIC = 0.08
"""Learning rate with periodic activations, relative to that with others (docs/protocols.md)."""


def usual_rate(
    optimizer: Optimizer,
    network: NetworkConfig,
    activation: Activation | None,
    factor: float = 1.0,
) -> float:
    """Learning rate of ``lr = "auto"`` if it is not derived from the kernel.

    The optimizer's default, for two hidden layers, is multiplied by ``factor`` (the network's
    ``usual_rate``), by 2 / depth, by 0.08 for periodic activations, and in NTK parameterization,
    where weights are √width times as large, by √width. Networks without an activation use
    ``factor`` only.
    """
    assert optimizer.default_lr is not None, "planning has checked it"
    rate = optimizer.default_lr * factor
    if activation is None:
        return rate
    if network.depth is not None:
        rate *= USUAL_DEPTH / network.depth
    if activation.periodic:
        rate *= PERIODIC
    if network.parameterization == "ntk" and network.width is not None:
        rate *= math.sqrt(network.width)
    return rate


class Sgd(Optimizer):
    """Gradient descent on mini-batches, optionally with momentum.

    ``lr = "auto"`` is a multiple of the critical rate of the kernel, times 1 − momentum.
    """

    skips_zero_gradients = True

    def __init__(
        self,
        *,
        momentum: Annotated[float, Field(ge=0, lt=1, description="momentum of the update")] = 0.0,
        nesterov: Annotated[bool, Field(description="look ahead along the momentum")] = False,
    ) -> None:
        if nesterov and momentum == 0:
            raise ParameterError("sgd: nesterov=true needs momentum above 0")
        self.momentum = momentum
        self.nesterov = nesterov
        self.plain = momentum == 0

    def make(self, groups: list[dict[str, Any]], *, fused: bool) -> torch.optim.Optimizer:
        return torch.optim.SGD(groups, momentum=self.momentum, nesterov=self.nesterov, fused=fused)

    def lr_from_kernel(self, critical: float) -> float:
        return critical * (1 - self.momentum)


class Adam(Optimizer):
    """Adam with torch's defaults."""

    source = 'Kingma, Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015'
    default_lr = ADAM_LR
    skips_zero_gradients = True

    def __init__(self, *, beta1: Beta = 0.9, beta2: Beta = 0.999, eps: Epsilon = 1e-8) -> None:
        self.betas = (beta1, beta2)
        self.eps = eps

    def make(self, groups: list[dict[str, Any]], *, fused: bool) -> torch.optim.Optimizer:
        return torch.optim.Adam(groups, betas=self.betas, eps=self.eps, fused=fused)


class AdamW(Optimizer):
    """Adam with decoupled weight decay, w ← w − lr · λ w in addition to Adam's step."""

    source = 'Loshchilov, Hutter, "Decoupled Weight Decay Regularization", ICLR 2019'
    default_lr = ADAM_LR

    def __init__(
        self,
        *,
        weight_decay: WeightDecay = 0.01,
        beta1: Beta = 0.9,
        beta2: Beta = 0.999,
        eps: Epsilon = 1e-8,
    ) -> None:
        self.weight_decay = weight_decay
        self.betas = (beta1, beta2)
        self.eps = eps
        self.skips_zero_gradients = weight_decay == 0

    def make(self, groups: list[dict[str, Any]], *, fused: bool) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            groups, betas=self.betas, eps=self.eps, weight_decay=self.weight_decay, fused=fused
        )


class Muon(Optimizer):
    """Orthogonalized momentum for the weights of hidden layers, AdamW for everything else.

    AdamW trains biases, the first and the last layer and the encoding, as the source advises.
    torch orthogonalizes in bfloat16, which is slow on processors without bfloat16 instructions.
    """

    source = 'Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024'

    def __init__(
        self,
        *,
        momentum: Annotated[float, Field(ge=0, lt=1, description="momentum of the update")] = 0.95,
        weight_decay: WeightDecay = 0.0,
        adamw_lr: Annotated[
            float, Field(gt=0, description="learning rate of AdamW / that of Muon")
        ] = 0.1,
    ) -> None:
        if not hasattr(torch.optim, "Muon"):
            raise ParameterError(
                f"muon needs torch 2.9 or newer, this is {torch.__version__}; choose adamw"
            )
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.adamw_lr = adamw_lr

    def make(self, groups: list[dict[str, Any]], *, fused: bool) -> torch.optim.Optimizer:
        hidden: list[dict[str, Any]] = []
        others: list[dict[str, Any]] = []
        for group in groups:
            matrices = [p for p in group["params"] if p.ndim == 2 and group["part"] == "mlp"]
            inner = set(matrices[1:-1])
            rates = {key: self.adamw_lr * group[key] for key in ("lr", "highest_lr")}
            hidden.append(group | {"params": [p for p in group["params"] if p in inner]})
            others.append(
                group | rates | {"params": [p for p in group["params"] if p not in inner]}
            )
        decay = self.weight_decay
        optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(others, weight_decay=decay, fused=fused)
        ]
        if hidden := [group for group in hidden if group["params"]]:
            muon = torch.optim.Muon(hidden, momentum=self.momentum, weight_decay=decay)
            optimizers.append(muon)
        return _Several(optimizers)


class _Several(torch.optim.Optimizer):
    """Several optimizers as one, with the same parameter groups."""

    def __init__(self, optimizers: list[torch.optim.Optimizer]) -> None:
        super().__init__([group for each in optimizers for group in each.param_groups], {})
        self.optimizers = optimizers

    def step(self, closure: None = None) -> None:  # type: ignore[override] # no closures here
        for optimizer in self.optimizers:
            optimizer.step()


NOT_HERE = {
    "lr": "give training.lr instead",
    "maximize": "training minimizes the loss",
    "capturable": "encbench sets it where it applies",
    "differentiable": "no gradient passes through a step",
}
"""Arguments of torch's constructors that are refused, and why."""


class TorchOptimizer(Optimizer):
    """Any class of torch.optim, given by its name and the arguments of its constructor.

    For example ``torch:name=RMSprop,parameters={alpha=0.9}``.
    """

    def __init__(
        self,
        *,
        name: Annotated[str, Field(description="name of a class in torch.optim")],
        parameters: Annotated[
            dict[str, Any] | None, Field(description="arguments of its constructor, without lr")
        ] = None,
    ) -> None:
        classes = [each for each in dir(torch.optim) if each[0].isupper()]
        known = sorted({*classes} - {"LBFGS", "Muon", "Optimizer", "SparseAdam"})
        if name not in known:
            raise ParameterError(
                f"torch.optim.{name} cannot be used here"
                + did_you_mean(name, known, f"there are: {', '.join(known)}")
            )
        self.cls = getattr(torch.optim, name)
        self.parameters = dict(parameters or {})
        for key in NOT_HERE.keys() & self.parameters:
            raise ParameterError(f"torch.optim.{name} cannot have {key} here: {NOT_HERE[key]}")
        try:
            self.make([{"params": [nn.Parameter(torch.zeros(1, 1))], "lr": 1.0}], fused=False)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ParameterError(f"torch.optim.{name}: {error}") from None

    def make(self, groups: list[dict[str, Any]], *, fused: bool) -> torch.optim.Optimizer:
        made: torch.optim.Optimizer = self.cls(groups, **self.parameters)
        return made


@cache
def load_optimizers() -> None:
    """Make torch import what its first optimizer needs.

    This takes seconds (torch 2.13: 1.9 s), which would otherwise count as training time of a
    process's first cell.
    """
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)


def make_optimizer(
    optimizer: Optimizer,
    parts: tuple[list[nn.Parameter], list[nn.Parameter]],
    rates: tuple[float, float],
    *,
    recorded: bool = False,
) -> torch.optim.Optimizer:
    """Create the torch optimizer of parameters that have had one backward pass.

    Args:
        parts: parameters of the network, and of the encoding.
        rates: their learning rates, which parameter groups store as "highest_lr".
        recorded: whether its steps will be recorded on a GPU. If torch supports that, each
            group's "lr" is then a tensor.
    """
    groups = [
        {"params": parameters, "lr": rate, "highest_lr": rate, "part": part}
        for part, parameters, rate in zip(("mlp", "encoding"), parts, rates, strict=True)
        if parameters
    ]
    # fused: one kernel for all parameters; at a batch of 32 the update is a quarter of the step
    fused = all(_can_be_fused(parameter) for part in parts for parameter in part)
    made = optimizer.make(groups, fused=fused)
    check_made(optimizer, made, [parameter for part in parts for parameter in part])
    if recorded and can_be_recorded(made):
        for group in made.param_groups:
            group["lr"] = torch.tensor(group["lr"], device=group["params"][0].device)
            if "capturable" in group:
                group["capturable"] = True
            # an encoding's parameters may be replaced
            if group.get("fused") and group.get("part") == "mlp":
                _slice(group)
    return made


def check_made(optimizer: Optimizer, made: object, parameters: Collection[nn.Parameter]) -> None:
    """Check that what ``make`` returned trains the parameters that it was given.

    Raises:
        TypeError: it is no torch optimizer, lacks keys of the groups, or has other parameters.
    """
    name = f"{type(optimizer).__name__}.make"
    if not isinstance(made, torch.optim.Optimizer):
        raise TypeError(
            f"{name} returned a {type(made).__name__}, expected a torch.optim.Optimizer"
        )
    for group in made.param_groups:
        for key in ("lr", "highest_lr", "part"):
            if key not in group:
                raise TypeError(
                    f"{name} loses the key {key!r} of the groups, from which training sets the "
                    "rates; pass the groups on as they are, or copies: {**group, 'params': …}"
                )
    found = [id(parameter) for group in made.param_groups for parameter in group["params"]]
    if sorted(found) != sorted(map(id, parameters)):
        raise TypeError(
            f"{name} got {len(parameters)} parameters, and its torch optimizer has {len(found)}, "
            f"of which {len(set(map(id, parameters)) & set(found))} are the ones given; each of "
            "them belongs to exactly one group"
        )


def _slice(group: dict[str, Any]) -> None:
    """Replace a group's parameters by slices of them; "whole" keeps the parameters.

    torch's fused update gives each multiprocessor of a GPU 2^16 numbers of one tensor, so that only
    four of them update 512 × 512 weights. Each number is updated on its own: slices change nothing.
    """
    whole = group["whole"] = group["params"]
    group["params"] = [nn.Parameter(part) for p in whole for part in _parts(p.detach())]


def _parts(tensor: Tensor) -> tuple[Tensor, ...]:
    return torch.split(tensor.view(-1), SLICE_SIZE if tensor.numel() <= LARGE else LARGE)


def take_step(made: torch.optim.Optimizer) -> None:
    """Take an optimizer's step; slices of parameters get the same slices of the gradients."""
    sliced = [group for group in made.param_groups if "whole" in group]
    for group in sliced:
        gradients = (part for p in group["whole"] for part in _parts(p.grad))
        for parameter, gradient in zip(group["params"], gradients, strict=True):
            parameter.grad = gradient
    made.step()
    for group in sliced:
        for parameter in group["params"]:
            parameter.grad = None


def can_be_recorded(made: torch.optim.Optimizer) -> bool:
    """Whether torch can record the steps; a subclass's or hook's Python would not be replayed."""
    own = type(made).__module__.startswith("torch.optim.") and "step" not in vars(made)
    if not own or made._optimizer_step_pre_hooks or made._optimizer_step_post_hooks:
        return False
    fused_sgd = isinstance(made, torch.optim.SGD)
    return all(
        "capturable" in group or (fused_sgd and group["fused"]) for group in made.param_groups
    )


def _can_be_fused(parameter: nn.Parameter) -> bool:
    """Whether the fused update is correct: it refuses sparse gradients and ignores strides.

    The kind of gradient is known only after a backward pass.
    """
    tensors = [parameter] if parameter.grad is None else [parameter, parameter.grad]
    return all(
        tensor.is_floating_point() and not tensor.is_sparse and tensor.is_contiguous()
        for tensor in tensors
    )
