"""Every training setting is obeyed: weights against a plain training loop, adapters against their formula.

The samples of a step are the whole subset, so the loop needs no order: AdamW (Loshchilov and Hutter 2019), schedule,
decay and clipping are written out again, over the mean loss of all answer tokens.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from autosel_runtime.api.training import LoraSettings, TrainingSpec
from autosel_runtime.checkpoint import load_model, load_tokenizer, with_adapter
from autosel_runtime.train.samples import tokenize_samples
from autosel_runtime.train.train import TrainingResult, train
from tests.tiny_model import build_model, chat

torch = pytest.importorskip("torch")
pytest.importorskip("peft")
COUNT, STEPS = 6, 4


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return build_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "train.jsonl"
    chats = [chat(f"add one and {i}", "yes", "and two ?", "three " * (i + 1)) for i in range(COUNT)]
    path.write_bytes(
        b"".join(orjson.dumps({"id": f"s{i}", "messages": one}) + b"\n" for i, one in enumerate(chats))
    )
    return path


def spec(**changes: Any) -> TrainingSpec:
    base: dict[str, Any] = {
        "method": "full", "max_steps": STEPS, "learning_rate": 1e-2, "warmup_fraction": 0.25,
        "global_batch": COUNT, "micro_batch": 3, "weight_decay": 0.1,
    }  # fmt: skip
    return TrainingSpec(**{**base, **changes})


Weights = dict[str, Any]


def trained(model: Path, samples: Path, out: Path, settings: TrainingSpec) -> tuple[Weights, TrainingResult]:
    from safetensors.torch import load_file

    result = train(model=model, samples=samples, out=out, spec=settings)
    [file] = out.glob("*.safetensors")
    return load_file(file), result


def rate(settings: TrainingSpec, step: int) -> float:
    """The learning rate of a step, from 0: rising over ceil(warm-up share x steps), then falling to 0 or constant."""
    rising = math.ceil(settings.warmup_fraction * STEPS)
    if step < rising:
        return settings.learning_rate * step / rising
    gone = (step - rising) / (STEPS - rising)
    shape = {"constant": 1.0, "linear": 1 - gone, "cosine": (1 + math.cos(math.pi * gone)) / 2}
    return settings.learning_rate * shape[settings.scheduler]


def by_hand(model: Path, samples: Path, settings: TrainingSpec) -> Weights:
    """The weights after ``STEPS`` steps of a loop that shares nothing with the product but the tokens."""
    tokens = tokenize_samples(
        samples, load_tokenizer(model), rows=np.arange(COUNT), max_tokens=2048, loss_on=settings.loss_on
    )
    network = load_model(model, dtype="float32").train()
    weights = {name: value for name, value in network.named_parameters() if value.requires_grad}
    first = {name: torch.zeros_like(value) for name, value in weights.items()}
    second = {name: torch.zeros_like(value) for name, value in weights.items()}
    for step in range(STEPS):
        loss = torch.zeros(())
        for row in range(COUNT):
            piece = slice(tokens.starts[row], tokens.starts[row + 1])
            ids, learnt = torch.tensor(tokens.ids[piece]).long(), torch.tensor(tokens.learnt[piece])
            table = network(input_ids=ids[None], use_cache=False).logits[0].log_softmax(-1)
            loss = loss - table[:-1].gather(1, ids[1:, None])[learnt[1:], 0].sum()
        network.zero_grad()
        (loss / int(tokens.learnt.sum())).backward()
        norm = math.sqrt(sum(float((value.grad**2).sum()) for value in weights.values()))
        with torch.no_grad():
            for name, value in weights.items():
                slope = value.grad * min(1.0, settings.max_grad_norm / norm)
                first[name] = 0.9 * first[name] + 0.1 * slope
                second[name] = 0.999 * second[name] + 0.001 * slope**2
                decay = 0.0 if value.dim() < 2 else settings.weight_decay  # norms are not drawn to 0
                value *= 1 - rate(settings, step) * decay
                mean, spread = first[name] / (1 - 0.9 ** (step + 1)), second[name] / (1 - 0.999 ** (step + 1))
                value -= rate(settings, step) * mean / (spread.sqrt() + 1e-8)
    return {name: value.detach() for name, value in weights.items()}


def far(one: Weights, other: Weights) -> float:
    """The mean distance of two sets of weights; both name the same."""
    assert set(one) == set(other)
    return sum(float((one[n] - other[n]).abs().sum()) for n in one) / sum(one[n].numel() for n in one)


# field -> values that lead to different weights, each to those of the loop
BY_HAND: dict[str, list[Any]] = {
    "learning_rate": [1e-2, 3e-3],
    "scheduler": ["cosine", "linear", "constant"],
    "warmup_fraction": [0.0, 0.25, 0.75],
    "weight_decay": [0.0, 0.1, 0.9],
    "max_grad_norm": [1000.0, 0.3],
    "loss_on": ["all_answers", "last_answer"],
}


@pytest.mark.parametrize("field", sorted(BY_HAND))
def test_weights_are_those_of_a_plain_loop(field: str, model: Path, samples: Path, tmp_path: Path) -> None:
    base = {"scheduler": "constant"} if field == "weight_decay" else {}
    wanted: list[Weights] = []
    found: list[Weights] = []
    for place, value in enumerate(BY_HAND[field]):
        settings = spec(**{**base, field: value})
        wanted.append(by_hand(model, samples, settings))
        found.append(trained(model, samples, tmp_path / str(place), settings)[0])
    for i, one in enumerate(found):
        near = far(one, wanted[i])
        others = [far(one, other) for j, other in enumerate(wanted) if j != i]
        assert near < 0.1 * min(others), (
            f"{field} {BY_HAND[field][i]}: {near} from its loop, {others} from others"
        )


def check_method(model: Path, samples: Path, folder: Path) -> None:
    full, _ = trained(model, samples, folder / "full", spec())
    lora, _ = trained(model, samples, folder / "lora", spec(method="lora"))
    assert "model.embed_tokens.weight" in full
    assert all(".lora_" in name for name in lora)


def check_lora(model: Path, samples: Path, folder: Path) -> None:
    """Rank, scale, places: the adapted model is W + alpha / rank * B A at exactly the modules named."""
    ids = torch.tensor([[5, 6, 7, 8]])
    for rank, alpha, modules in ((2, 4, ["q_proj", "v_proj"]), (4, 32, ["o_proj"]), (2, 16, None)):
        out = folder / f"{rank}-{alpha}"
        lora = LoraSettings(rank=rank, alpha=alpha, target_modules=modules)
        adapter, _ = trained(model, samples, out, spec(method="lora", lora=lora))
        places = {name.removeprefix("base_model.model.").rsplit(".lora_", 1)[0] for name in adapter}
        merged = load_model(model, dtype="float32")
        linear = {
            name for name, module in merged.named_modules()
            if isinstance(module, torch.nn.Linear) and name != "lm_head"
        }  # fmt: skip
        assert places == {p for p in linear if modules is None or p.rsplit(".", 1)[-1] in modules}
        for place in places:
            a, b = (adapter[f"base_model.model.{place}.lora_{half}.weight"] for half in "AB")
            assert (a.shape[0], b.shape[1]) == (rank, rank)
            with torch.no_grad():
                merged.get_submodule(place).weight += alpha / rank * (b @ a)
        with torch.no_grad():
            by_formula = merged(input_ids=ids).logits
            adapted = with_adapter(load_model(model, dtype="float32"), out)(input_ids=ids).logits
            plain = load_model(model, dtype="float32")(input_ids=ids).logits
        assert torch.allclose(by_formula, adapted, atol=1e-4)
        assert float((adapted - plain).abs().max()) > 1e-2
    dry = [trained(model, samples, folder / f"dropout-{p}", spec(method="lora", lora=LoraSettings(dropout=p)))[0]
           for p in (0.0, 0.5)]  # fmt: skip
    assert far(*dry) > 1e-4
    assert json.loads((folder / "dropout-0.5/adapter_config.json").read_bytes())["lora_dropout"] == 0.5


def check_gradient_checkpointing(model: Path, samples: Path, folder: Path) -> None:
    """The same numbers from activations that are computed twice."""
    from transformers.models.llama.modeling_llama import LlamaMLP

    weights: list[Weights] = []
    calls: list[int] = []
    plain = LlamaMLP.forward
    for on in (False, True):
        seen: list[int] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(LlamaMLP, "forward", lambda self, x, seen=seen: seen.append(1) or plain(self, x))
            weights.append(trained(model, samples, folder / str(on), spec(gradient_checkpointing=on))[0])
        calls.append(len(seen))
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert calls[1] == 2 * calls[0]


def check_steps(model: Path, samples: Path, folder: Path) -> None:
    for place, (changes, steps) in enumerate([
        ({"epochs": 1.0}, 2), ({"epochs": 2.5}, 5), ({"epochs": 2.0, "global_batch": 2}, 6),
        ({"epochs": 2.0, "max_steps": 3}, 3),
    ]):  # fmt: skip
        settings = spec(**{"max_steps": None, "global_batch": 3, "micro_batch": 1, **changes})
        result = trained(model, samples, folder / str(place), settings)[1]
        assert (result.steps, result.epochs) == (steps, steps * settings.global_batch / COUNT)


def check_micro_batch(model: Path, samples: Path, folder: Path) -> None:
    """It changes what fits in memory, and nothing else (tests/train/test_train.py compares the weights)."""
    found = [trained(model, samples, folder / str(m), spec(micro_batch=m))[1].micro_batch for m in (1, 2, 6)]
    assert found == [1, 2, 6]


def check_max_tokens(model: Path, samples: Path, folder: Path) -> None:
    whole, cut = (trained(model, samples, folder / str(m), spec(max_tokens=m))[1] for m in (2048, 24))
    assert (whole.cut_samples, cut.cut_samples) == (0, COUNT)
    assert cut.tokens == STEPS * COUNT * 24 < whole.tokens


def check_dtype(model: Path, samples: Path, folder: Path) -> None:
    found = [trained(model, samples, folder / d, spec(dtype=d)) for d in ("float32", "bfloat16")]
    assert [result.dtype for _, result in found] == ["float32", "bfloat16"]
    assert 1e-6 < far(found[0][0], found[1][0]) < 1e-3


def check_seed(model: Path, samples: Path, folder: Path) -> None:
    """The order of samples, in steps that do not hold all of them."""
    one, again, other = (
        trained(model, samples, folder / name, spec(seed=seed, global_batch=2, micro_batch=2))[0]
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert far(one, again) == 0.0 < far(one, other)


CHECKS: dict[str, Callable[[Path, Path, Path], None]] = {
    "method": check_method, "lora": check_lora, "gradient_checkpointing": check_gradient_checkpointing,
    "epochs": check_steps, "micro_batch": check_micro_batch, "max_tokens": check_max_tokens,
    "dtype": check_dtype, "seed": check_seed,
}  # fmt: skip
WITH_ANOTHER = {"max_steps", "global_batch"}  # in check_steps
ELSEWHERE = {
    "deepspeed",  # needs a library and a device; tests/train/test_train.py: a file that is not there
    "keep_models",  # of the search, not of a training; tests/controller
}


def test_every_setting_has_a_check() -> None:
    assert {*BY_HAND, *CHECKS, *WITH_ANOTHER, *ELSEWHERE} >= set(TrainingSpec.model_fields)
    assert set(LoraSettings.model_fields) == {"rank", "alpha", "dropout", "target_modules"}, "check_lora"


@pytest.mark.parametrize("field", sorted(CHECKS))
def test_a_setting_is_obeyed(field: str, model: Path, samples: Path, tmp_path: Path) -> None:
    CHECKS[field](model, samples, tmp_path)
