"""Training a tiny model on a CPU: it learns, repeats itself to the bit, and says what is wrong."""

import hashlib
import json
from pathlib import Path

import numpy as np
import orjson
import pytest

from autosel_runtime.api.training import LoraSettings, TrainingSpec
from autosel_runtime.checkpoint import load_model, load_tokenizer, model_digest, with_adapter
from autosel_runtime.errors import ConfigError, DataError, NoInputError, OutputError
from autosel_runtime.train.loop import collate
from autosel_runtime.train.samples import count_samples, tokenize_samples
from autosel_runtime.train.train import train
from tests.tiny_model import build_model, chat

torch = pytest.importorskip("torch")
pytest.importorskip("peft")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return build_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data") / "train.jsonl", 12)


def write(path: Path, count: int) -> Path:
    chats = [chat(f"add one and {i % 5}", " ".join(["three"] * (1 + i % 4))) for i in range(count)]
    path.write_bytes(
        b"".join(orjson.dumps({"id": f"s{i}", "messages": c}) + b"\n" for i, c in enumerate(chats))
    )
    return path


def spec(**changes: object) -> TrainingSpec:
    settings: dict = {
        "method": "full",
        "max_steps": 3,
        "learning_rate": 1e-2,
        "global_batch": 6,
        "micro_batch": 3,
    }
    return TrainingSpec(**{**settings, **changes})


def weights(folder: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    [file] = folder.glob("*.safetensors")
    return load_file(file)


def test_learns_and_leaves_a_model_folder(model: Path, samples: Path, tmp_path: Path) -> None:
    short = train(model=model, samples=samples, out=tmp_path / "a", spec=spec(max_steps=1))
    result = train(model=model, samples=samples, out=tmp_path / "b", spec=spec(max_steps=25))
    assert result.final_loss < 0.5 * short.final_loss
    assert (result.steps, result.samples, result.epochs) == (25, 12, 12.5)
    tokenized = tokenize_samples(
        samples,
        load_tokenizer(model),
        rows=np.arange(count_samples(samples)),
        max_tokens=2048,
        loss_on="all_answers",
    )
    assert result.answer_tokens == pytest.approx(12.5 * tokenized.learnt.sum(), rel=0.02)
    names = {path.name for path in (tmp_path / "b").iterdir()}
    assert {
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "chat_template.jinja",
        "training.json",
    } <= names
    assert not [name for name in names if name.endswith((".bin", ".pt"))]
    assert json.loads((tmp_path / "b/training.json").read_bytes())["result"]["steps"] == 25
    assert model_digest(tmp_path / "b") != model_digest(model)
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}


def test_same_seed_same_bits_other_seed_other_bits(model: Path, samples: Path, tmp_path: Path) -> None:
    digests = []
    for name, offset in (("a", 0), ("b", 0), ("c", 1)):
        train(model=model, samples=samples, out=tmp_path / name, spec=spec(method="lora"), seed_offset=offset)
        digests.append(
            hashlib.sha256((tmp_path / name / "adapter_model.safetensors").read_bytes()).hexdigest()
        )
    assert digests[0] == digests[1] != digests[2]


def test_micro_batches_do_not_change_what_is_learnt(model: Path, samples: Path, tmp_path: Path) -> None:
    for micro in (1, 6):
        train(
            model=model,
            samples=samples,
            out=tmp_path / str(micro),
            spec=spec(micro_batch=micro, learning_rate=1e-3),
        )
    one, six, start = weights(tmp_path / "1"), weights(tmp_path / "6"), weights(model)
    for name, value in one.items():
        # AdamW divides by tiny second moments, so single weights may differ by parts of a step.
        moved = np.abs(value - start[name]).mean()
        assert np.abs(value - six[name]).mean() < 0.02 * moved, name


def test_the_loss_is_the_mean_over_answer_tokens(model: Path, samples: Path, tmp_path: Path) -> None:
    """Oracle: a plain forward pass, sample by sample, without padding."""
    result = train(
        model=model,
        samples=samples,
        out=tmp_path / "a",
        spec=spec(max_steps=1, global_batch=12, learning_rate=1e-9),
    )
    tokenized = tokenize_samples(
        samples,
        load_tokenizer(model),
        rows=np.arange(count_samples(samples)),
        max_tokens=2048,
        loss_on="all_answers",
    )
    plain, total = load_model(model, dtype="float32"), 0.0
    for row in range(tokenized.count):
        piece = slice(tokenized.starts[row], tokenized.starts[row + 1])
        ids, learnt = torch.tensor(tokenized.ids[piece]).long(), torch.tensor(tokenized.learnt[piece])
        with torch.no_grad():
            table = plain(input_ids=ids[None]).logits[0].log_softmax(-1)
        total -= float(table[:-1].gather(1, ids[1:, None])[learnt[1:], 0].sum())
    assert result.final_loss == pytest.approx(total / tokenized.learnt.sum(), rel=1e-4)


def test_positions_point_before_the_labels(model: Path, samples: Path) -> None:
    tokenized = tokenize_samples(
        samples,
        load_tokenizer(model),
        rows=np.arange(count_samples(samples)),
        max_tokens=2048,
        loss_on="all_answers",
    )
    batch = collate(tokenized, [0, 3, 1], multiple=8)
    assert batch["input_ids"].shape[1] % 8 == 0
    flat = batch["labels"].reshape(-1)
    assert (flat[batch["positions"] + 1] != -100).all()
    assert len(batch["positions"]) == int((flat != -100).sum())


def test_the_adapter_changes_the_model(model: Path, samples: Path, tmp_path: Path) -> None:
    train(
        model=model, samples=samples, out=tmp_path / "a", spec=spec(method="lora", lora=LoraSettings(rank=2))
    )
    ids = torch.tensor([[5, 6, 7]])
    base = load_model(model, dtype="float32")(input_ids=ids).logits
    tuned = with_adapter(load_model(model, dtype="float32"), tmp_path / "a")(input_ids=ids).logits
    assert (base - tuned).abs().max() > 1e-3
    wider = build_model(tmp_path / "wide", width=64)
    with pytest.raises(ConfigError, match="does not fit the model"):
        with_adapter(load_model(wider, dtype="float32"), tmp_path / "a")


def test_a_loss_that_is_no_number_stops_with_advice(model: Path, samples: Path, tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    tensors = load_file(broken / "model.safetensors")
    next(iter(tensors.values())).fill_(float("inf"))
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"NaN at step 1; lower training.learningRate"):
        train(model=broken, samples=samples, out=tmp_path / "a", spec=spec())
    assert not (tmp_path / "a").exists()


def test_out_of_memory_halves_the_micro_batch(
    model: Path, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autosel_runtime.checkpoint import Device
    from autosel_runtime.train import train as module

    real, tried = module.fit, []

    def small_memory(*args, **settings):
        tried.append(args[3].micro_batch)
        if args[3].micro_batch > 2:
            raise torch.OutOfMemoryError("full")
        return real(*args, **settings)

    monkeypatch.setattr(module, "fit", small_memory)
    monkeypatch.setattr(
        module, "pick_device", lambda: Device(name="cpu", accelerator=False, description="cpu")
    )
    monkeypatch.setattr(torch, "get_device_module", lambda _: torch.cpu)
    monkeypatch.setattr(torch.cpu, "empty_cache", lambda: None, raising=False)
    result = train(
        model=model, samples=samples, out=tmp_path / "a", spec=spec(global_batch=12, micro_batch=12)
    )
    assert tried == [12, 6, 3, 1]
    assert result.micro_batch == 1
    monkeypatch.setattr(module, "fit", lambda *_, **__: (_ for _ in ()).throw(torch.OutOfMemoryError("full")))
    with pytest.raises(ConfigError, match=r"out of memory on cpu with training\.microBatch 1"):
        train(model=model, samples=samples, out=tmp_path / "b", spec=spec())


def test_mistakes_get_one_sentence(model: Path, samples: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    with pytest.raises(DataError, match="subset is empty"):
        train(model=model, samples=empty, out=tmp_path / "a", spec=spec())
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"id": "x"}\n')
    with pytest.raises(DataError, match=r"broken\.jsonl:1"):
        train(model=model, samples=broken, out=tmp_path / "a", spec=spec())
    with pytest.raises(NoInputError, match="no such file"):
        train(model=model, samples=tmp_path / "none", out=tmp_path / "a", spec=spec())
    with pytest.raises(NoInputError, match=r"no config\.json"):
        train(model=tmp_path, samples=samples, out=tmp_path / "a", spec=spec())
    with pytest.raises(NoInputError, match=r"neither config\.json"):
        model_digest(tmp_path)
    with pytest.raises(OutputError, match="exists already"):
        train(model=model, samples=samples, out=model, spec=spec())
    with pytest.raises(NoInputError, match="DeepSpeed"):
        train(model=model, samples=samples, out=tmp_path / "a", spec=spec(deepspeed="none.json"))
    with pytest.raises(ConfigError, match="targetModules"):
        train(model=model, samples=samples, out=tmp_path / "a",
              spec=spec(method="lora", lora=LoraSettings(target_modules=["nothing"])))  # fmt: skip


def test_long_samples_are_cut_and_counted(model: Path, tmp_path: Path) -> None:
    long = tmp_path / "long.jsonl"
    long.write_bytes(orjson.dumps({"id": "l", "messages": chat("blue " * 60, "yes")}) + b"\n")
    result = train(model=model, samples=long, out=tmp_path / "a", spec=spec(max_tokens=16, max_steps=1))
    assert result.cut_samples == 1
    assert result.tokens == 6 * 16
