"""Training learns, detects divergence at the right step, and draws batches correctly."""

import math

import numpy as np
import pytest
import torch

from encbench import CoordinateMLP, Encoding, ParameterError
from encbench.suite.config import TrainingConfig
from encbench.training.loop import (
    Diverged,
    Training,
    predictor,
    spread_evaluations,
    total_steps,
    train,
)
from encbench.training.optimizers import Adam, Sgd
from encbench.training.schedules import Constant
from tests.sample_plugin import Scaled, Wave


def setup(**config):
    torch.manual_seed(0)
    settings = TrainingConfig(**{"batch_size": 16, "steps": 64, "evaluations": 4, **config})
    return CoordinateMLP(Scaled(1), 1, 32, 1), Wave(), settings


def generators(optimizer=None, schedule=None):
    """The other arguments of ``train``."""
    return {
        "optimizer": optimizer or Sgd(),
        "schedule": schedule or Constant(),
        "data": torch.Generator().manual_seed(1),
        "batches": torch.Generator().manual_seed(2),
    }


def change(model, before):
    """Largest change of each parameter."""
    pairs = zip(model.parameters(), before, strict=True)
    return [float((new - old).detach().abs().max()) for new, old in pairs]


def test_the_loss_falls_and_the_curves_say_so():
    model, task, config = setup(steps=400)
    result = train(model, task, config, lr=0.3, **generators())
    assert result.loss[-1] < 0.5 * result.loss[0]
    assert result.curve[-1] > result.curve[0]
    assert result.curve_step[0] == 0
    assert result.curve_step[-1] == result.loss_step[-1] == result.steps == 400
    assert result.epochs == 100


def test_an_encodings_fallback_is_told_with_how_steps_were_computed():
    class Falls(Scaled):
        def forward(self, x):
            self.fallback = "no compiler"
            return x

    _, task, config = setup()
    model = CoordinateMLP(Falls(1), 1, 32, 1)
    assert train(model, task, config, lr=0.3, **generators()).how == "layerwise; no compiler"


def test_a_step_of_sgd_is_the_gradient_step_of_the_formula():
    model, task, config = setup(batch_size=64, steps=1)
    reference = CoordinateMLP(Scaled(1), 1, 32, 1).double()
    reference.load_state_dict(model.state_dict())
    loss = torch.mean((reference(task.x) - task.y.double()) ** 2)
    gradients = torch.autograd.grad(loss, list(reference.parameters()))
    expected = [p - 0.1 * g for p, g in zip(reference.parameters(), gradients, strict=True)]
    train(model, task, config, lr=0.1, **generators())
    for got, wanted in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(got.double(), wanted, rtol=1e-5, atol=1e-6)


def test_every_point_is_seen_once_an_epoch():
    seen = []

    class Watched(Scaled):
        def __init__(self, in_dim):
            super().__init__(in_dim)
            self.gain = torch.nn.Parameter(torch.ones(1))

        def forward(self, x):
            if torch.is_grad_enabled():
                seen.append(x.detach().clone())
            return x * self.gain

    _, task, config = setup(batch_size=24, steps=None, epochs=2)
    train(CoordinateMLP(Watched(1), 1, 8, 1), task, config, lr=1e-3, **generators())
    del seen[:2]  # before the first step, to see whether the encoding changes
    assert [len(batch) for batch in seen] == [24, 24, 16] * 2
    first, second = torch.cat(seen[:3]), torch.cat(seen[3:])
    torch.testing.assert_close(first.sort(0).values, task.x.float())
    torch.testing.assert_close(second.sort(0).values, task.x.float())
    assert not torch.equal(first, second), "the second epoch must be shuffled anew"


@pytest.mark.parametrize("asked", ["highest", "medium"])
def test_matrix_products_have_the_precision_that_was_asked_for_and_only_in_training(asked):
    seen = set()

    class Watched(Scaled):
        def forward(self, x):
            seen.add(torch.get_float32_matmul_precision())
            return super().forward(x)

    # the points change, so that their features are computed in each epoch
    class Moving(Wave):
        def epoch(self, generator):
            return torch.rand(64, 1, generator=generator), self.y

        def progress_metric(self, predict):
            between.add(torch.get_float32_matmul_precision())
            return super().progress_metric(predict)

    between = set()
    at_step = {30: lambda: between.add(torch.get_float32_matmul_precision())}
    _, _, config = setup(steps=64, matmul_precision=asked)
    model = CoordinateMLP(Watched(1), 1, 8, 1)
    train(model, Moving(), config, lr=1e-3, at_step=at_step, **generators())
    assert seen == {"highest", asked}
    assert between == {torch.get_float32_matmul_precision()} == {"highest"}


def test_divergence_is_noticed_at_the_step_where_the_loss_stops_being_finite():
    model, task, config = setup(steps=500)
    losses = []
    reference = CoordinateMLP(Scaled(1), 1, 32, 1)
    reference.load_state_dict(model.state_dict())
    generator = generators()["batches"]
    x, y = task.x.float(), task.y
    while len(losses) < 500 and all(map(math.isfinite, losses)):
        order = torch.randperm(len(x), generator=generator)
        for index in order.split(16):
            loss = torch.mean((reference(x[index]) - y[index]) ** 2)
            gradients = torch.autograd.grad(loss, list(reference.parameters()))
            with torch.no_grad():
                for parameter, gradient in zip(reference.parameters(), gradients, strict=True):
                    parameter -= 1e3 * gradient
            losses.append(loss.item())
    first = next(i for i, loss in enumerate(losses, start=1) if not math.isfinite(loss))
    result = Training()
    with pytest.raises(Diverged) as caught:
        train(model, task, config, lr=1e3, result=result, **generators())
    assert caught.value.step == first
    assert result.steps == first - 1
    assert np.isfinite(result.loss).all()


def test_a_loss_that_is_infinite_from_the_start_is_noticed_at_the_first_step():
    model, task, config = setup()
    task.y = task.y + 1e30
    result = Training()
    with pytest.raises(Diverged) as caught:
        train(model, task, config, lr=0.1, result=result, **generators())
    assert (caught.value.step, result.steps, result.epochs, result.loss) == (1, 0, 0.0, [])


def test_a_batch_of_all_points_is_a_step_an_epoch():
    model, task, config = setup(batch_size="all", steps=None, epochs=3)
    result = train(model, task, config, lr=0.1, **generators())
    assert (result.steps, result.epochs) == (3, 3.0)
    model, task, same = setup(batch_size=len(task.x), steps=3)
    again = train(model, task, same, lr=0.1, **generators())
    assert result.loss == again.loss


def test_points_of_an_epoch_like_the_one_before_count_once():
    model, task, config = setup(batch_size=64, steps=None, epochs=3)
    assert train(model, task, config, lr=0.1, **generators()).points == len(task.x)
    drawn = iter((torch.zeros(64, 1), torch.ones(64, 1), torch.ones(64, 1)))
    task.epoch = lambda generator: (next(drawn).double(), task.y)
    config = config.model_copy(update={"batch_size": 64, "epochs": None, "steps": 3})
    result = train(model, task, config, lr=0.1, **generators())
    assert result.points == 128
    assert len(result.curve_seconds) == len(result.curve)
    assert result.curve_seconds == sorted(result.curve_seconds)
    assert result.curve_seconds[0] == 0.0 < result.curve_seconds[-1]


def test_a_long_loss_curve_is_512_means_in_float64():
    model, task, config = setup(batch_size=64, steps=700, evaluations=1)
    first = torch.mean((model(task.x.float()) - task.y) ** 2).item()
    curves = train(model, task, config, lr=0.1, **generators()).arrays()
    assert {name: len(curve) for name, curve in curves.items()} == {
        **{"loss_step": 512, "loss": 512, "curve_step": 2, "curve": 2}
    }
    assert (curves["loss_step"][0], curves["loss_step"][-1]) == (1, 700)
    assert curves["loss"][0] == pytest.approx(first, rel=1e-5)
    assert curves["loss"].dtype == np.float64


def test_what_was_not_trained_has_no_steps():
    assert (Training().steps, Training().epochs) == (0, 0.0)


def test_the_best_value_is_kept_beside_the_last():
    result = Training(curve=[1.0, 7.0, 5.0], curve_step=[0, 10, 20])
    assert result.best() == (7.0, 10)
    assert result.best(higher=False) == (1.0, 0)


def test_a_value_that_is_no_number_is_never_the_best():
    result = Training(curve=[math.nan, 7.0, math.nan], curve_step=[0, 10, 20])
    assert result.best() == result.best(higher=False) == (7.0, 10)
    assert Training(curve=[math.nan], curve_step=[0]).best() == (None, None)
    assert Training().best() == (None, None)


def test_sparse_gradients_learn_what_dense_ones_do():
    class Looked(Encoding):
        """A table of 16 rows, looked up."""

        def __init__(self, *, sparse):
            super().__init__(1, 2)
            self.table = torch.nn.Embedding(16, 2, sparse=sparse)
            torch.nn.init.constant_(self.table.weight, 0.1)

        def forward(self, x):
            return self.table((x[:, 0] * 15).long())

    _, task, config = setup()
    tables = []
    for sparse in (False, True):
        torch.manual_seed(0)
        model = CoordinateMLP(Looked(sparse=sparse), 1, 32, 1)
        start = model.encoding.table.weight.detach().clone()
        train(model, task, config, lr=0.3, **generators())
        tables.append(model.encoding.table.weight.detach())
        assert not torch.equal(tables[-1], start)
    torch.testing.assert_close(*tables)


class Strided(Encoding):
    """Every other column of a buffer, as a parameter that keeps the buffer's strides."""

    def __init__(self, *, dense, dtype=torch.float32):
        super().__init__(1, 4)
        values = torch.randn(4, 8, generator=torch.Generator().manual_seed(1)).to(dtype)[:, ::2]
        self.weight = torch.nn.Parameter(values.contiguous() if dense else values)

    def forward(self, x):
        return torch.sin(x * (self.weight.real * torch.arange(1.0, 5.0)).sum(1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
@pytest.mark.parametrize(("optimizer", "lr"), [(Sgd, 0.3), (Adam, 0.01)])
def test_parameters_are_updated_with_their_own_gradients_whatever_their_strides(
    optimizer, lr, dtype
):
    weights = []
    for dense in (True, False):
        torch.manual_seed(0)
        model = CoordinateMLP(Strided(dense=dense, dtype=dtype), 1, 32, 1)
        _, task, config = setup(steps=5)
        train(model, task, config, lr=lr, **generators(optimizer()))
        weights.append(model.encoding.weight.detach())
    start = Strided(dense=True, dtype=dtype).weight.detach()
    assert float((weights[0] - start).abs().max()) > 1e-3, "nothing was learned"
    torch.testing.assert_close(*weights, rtol=1e-5, atol=1e-6)


def test_a_task_may_fill_the_same_tensors_with_new_points():
    class Refilled(Wave):
        def epoch(self, generator):
            x, y = super().epoch(generator)
            self.points = getattr(self, "points", x.clone())
            self.points[:] = torch.rand(x.shape, generator=generator, dtype=x.dtype)
            return self.points, y

    class Fresh(Refilled):
        def epoch(self, generator):
            return super().epoch(generator)[0].clone(), self.y

    ends = []
    for task in Refilled(), Fresh():
        model, _, config = setup(steps=40)
        train(model, task, config, lr=0.1, **generators())
        ends.append([parameter.detach() for parameter in model.parameters()])
    torch.testing.assert_close(*ends, rtol=0, atol=0)


def test_what_was_done_before_an_error_is_kept():
    class Drying(Wave):
        epochs = 0

        def epoch(self, generator):
            self.epochs += 1
            if self.epochs == 4:
                raise OSError("the tide is out")
            return super().epoch(generator)

    model, _, config = setup(steps=100, evaluations=20)
    result = Training()
    with pytest.raises(OSError, match="tide"):
        train(model, Drying(), config, lr=0.1, result=result, **generators())
    assert result.steps == result.loss_step[-1] == 12, "three epochs of four batches"


def test_parameters_that_overflow_are_noticed_before_anyone_looks_at_them():
    model, task, config = setup(steps=2, evaluations=1)
    looked = []
    with pytest.raises(Diverged) as caught:
        train(
            model,
            task,
            config,
            lr=1e45,
            at_step={1: lambda: looked.append(1)},
            **generators(),
        )
    assert caught.value.step == 1
    assert not looked


def test_a_last_step_that_overshoots_diverges_though_the_curve_does_not_show_it():
    class Clipped(Wave):
        def progress_metric(self, predict):
            return 10.0

    model, _, config = setup(steps=1, evaluations=1)
    with pytest.raises(Diverged) as caught:
        train(model, Clipped(), config, lr=1e45, **generators())
    assert caught.value.step == 1


def test_predictions_that_are_no_number_at_the_end_are_divergence():
    class Lost(Wave):
        quality = iter([10.0, 11.0, math.nan])

        def progress_metric(self, predict):
            return next(self.quality)

    model, _, config = setup(steps=8, evaluations=2)
    result = Training()
    with pytest.raises(Diverged) as caught:
        train(model, Lost(), config, lr=0.1, result=result, **generators())
    assert (caught.value.step, result.steps) == (8, 8)


def test_the_curve_is_denser_at_the_start_where_it_is_steep():
    model, task, config = setup(steps=64, evaluations=4)
    assert train(model, task, config, lr=0.1, **generators()).curve_step == [0, 4, 16, 36, 64]


def test_progress_is_told_of_the_first_check_and_of_the_end():
    model, task, config = setup(steps=100, evaluations=1)
    told = []
    result = train(
        model, task, config, lr=0.1, progress=lambda *news: told.append(news), **generators()
    )
    assert [(done, total) for done, total, _ in told] == [(64, 100), (100, 100)]
    assert told[-1][2] == pytest.approx(result.loss[-1])


def test_callbacks_come_after_exactly_that_many_steps():
    model, task, config = setup(steps=10)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    moved = {}

    def look(step):
        moved[step] = change(model, before)

    train(model, task, config, lr=0.1, at_step={3: lambda: look(3)}, **generators())
    short, task, config = setup(steps=3)
    train(short, task, config, lr=0.1, **generators())
    expected = change(short, before)
    assert moved == {3: expected}


@pytest.mark.parametrize(
    ("config", "points", "steps"),
    [({"epochs": 3}, 10, 9), ({"epochs": 1}, 8, 2), ({"steps": 7}, 10, 7)],
)
def test_epochs_count_the_last_short_batch(config, points, steps):
    assert total_steps(TrainingConfig(batch_size=4, **config), points) == steps


def test_more_evaluations_than_steps_are_one_after_each_step():
    for steps in range(1, 40):
        for count in (2 * steps - 1, 2 * steps, 2 * steps + 1, 9 * steps):
            fractions = (place / count for place in range(1, count + 1))
            assert spread_evaluations(steps, count) == {
                max(1, round(steps * f**2)) for f in fractions
            }
    assert spread_evaluations(3, 10**18) == {1, 2, 3}


def test_epochs_of_too_many_steps_are_refused():
    with pytest.raises(ParameterError, match="are 2000000000 steps of 4 points; expected at most"):
        total_steps(TrainingConfig(batch_size=4, epochs=10**9), 8)


def test_a_batch_larger_than_the_epoch_is_reduced_to_it():
    model, task, config = setup(batch_size=99, steps=3)
    result = train(model, task, config, lr=0.1, **generators())
    assert (result.batch_size, result.epochs) == (64, 3)
    assert total_steps(TrainingConfig(epochs=3), 64) == 3


def test_logits_are_squashed_for_prediction_and_not_for_the_loss():
    class Occupied(Wave):
        loss = "bce"

    model, task = CoordinateMLP(Scaled(1), 1, 8, 1), Occupied()
    with torch.no_grad():
        logits = model(task.x.float())
    torch.testing.assert_close(predictor(model, task)(task.x), torch.sigmoid(logits))
