"""Model folders: find, identify and load a language model, its tokenizer and its adapter.

Training, signals and evaluation load models here, so that a missing folder or a wrong adapter is the same one
sentence everywhere. torch, transformers and peft are imported when a function needs them.
"""

import importlib
import os
import warnings
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from autosel_runtime.digest import digest, digest_file
from autosel_runtime.errors import AutoselError, ConfigError, NoInputError, UnavailableError

Dtype = Literal["float32", "bfloat16", "float16"]

# Files that decide what a model computes and how it reads text.
_MODEL_FILES = (".safetensors", ".json", ".bin", ".jinja", ".model", ".txt")


@dataclass(frozen=True, kw_only=True)
class Device:
    """Where tensors live: ``name`` for torch (``cuda``, ``npu``, ``cpu``), ``accelerator`` false on a CPU."""

    name: str
    accelerator: bool
    description: str


def model_source(model: Path | str) -> str:
    """Return what ``from_pretrained`` shall read: an existing model folder, or a hub id.

    Raises NoInputError for a folder that is no model and for a path that does not exist.
    """
    path = Path(model)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise NoInputError(f"{path}: no model here: the folder has no config.json")
        return str(path)
    if isinstance(model, Path) or path.exists() or path.is_absolute() or str(model).startswith("."):
        raise NoInputError(f"{path}: no model here: no such folder")
    return str(model)


def is_model_file(name: str) -> bool:
    """Say whether a file of a model folder, by relative name, belongs to the model: to its digest and its loading."""
    return "/" not in name and Path(name).suffix in _MODEL_FILES and name != "training.json"


def is_model_folder(names: Iterable[str]) -> bool:
    """Say whether a folder with these files is a model or an adapter."""
    return not {"config.json", "adapter_config.json"}.isdisjoint(names)


def model_digest(folder: Path) -> str:
    """Return the digest of a model or adapter folder: its file names and contents, nothing else.

    Raises NoInputError for a folder that holds neither a model nor an adapter.
    """
    names = [path.name for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
    if not is_model_folder(names):
        raise NoInputError(f"{folder}: no model here: neither config.json nor adapter_config.json")
    return digest([[name, digest_file(folder / name)] for name in sorted(names) if is_model_file(name)])


def pick_device() -> Device:
    """Return the device of this process: CUDA (ROCm too), then Ascend, then CPU; obeys LOCAL_RANK."""
    torch = require("torch")
    rank = int(os.environ.get("LOCAL_RANK", "0"))
    if torch.cuda.is_available():
        index = rank if rank < torch.cuda.device_count() else 0
        return Device(name=f"cuda:{index}", accelerator=True, description=torch.cuda.get_device_name(index))
    npu = getattr(torch, "npu", None)
    if npu is not None and npu.is_available():
        return Device(name=f"npu:{rank}", accelerator=True, description=npu.get_device_name(rank))
    return Device(name="cpu", accelerator=False, description="cpu")


def load_tokenizer(
    model: Path | str, *, chat_template: str | None = None, revision: str | None = None
) -> Any:
    """Return the fast tokenizer of a model, with ``chat_template`` in place of its own when given."""
    transformers = require("transformers")
    source = model_source(model)
    with loading(f"{source}: the tokenizer cannot be loaded"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, revision=revision)
    if not tokenizer.is_fast:
        raise ConfigError(f"{source}: the model has no fast tokenizer (tokenizer.json), which autosel needs")
    if chat_template is not None:
        tokenizer.chat_template = chat_template
    return tokenizer


def load_model(model: Path | str, *, dtype: Dtype, revision: str | None = None) -> Any:
    """Return the causal language model in ``dtype`` on the CPU, in evaluation mode."""
    torch, transformers = require("torch"), require("transformers")
    source = model_source(model)
    with loading(f"{source}: the model cannot be loaded"):
        return transformers.AutoModelForCausalLM.from_pretrained(
            source, revision=revision, dtype=getattr(torch, dtype)
        )


def stored_dtype(model: Path | str, *, revision: str | None = None) -> Dtype:
    """Return the dtype the model's weights are stored in; float32 when its configuration does not say."""
    transformers = require("transformers")
    source = model_source(model)
    with loading(f"{source}: the model cannot be loaded"):
        config = transformers.AutoConfig.from_pretrained(source, revision=revision)
    name = str(config.dtype).removeprefix("torch.")
    return "bfloat16" if name == "bfloat16" else "float16" if name == "float16" else "float32"


def with_adapter(model: Any, adapter: Path) -> Any:
    """Return ``model`` with the LoRA adapter in folder ``adapter``, every tensor of which has found its place.

    In float32 the adapter is merged. In 16 bits it stays apart: a merged bfloat16 weight has 8 bits, and an
    update smaller than half a step of the weight would vanish.
    """
    peft, torch = require("peft"), require("torch")
    if not (adapter / "adapter_config.json").is_file():
        raise NoInputError(f"{adapter}: no adapter here: the folder has no adapter_config.json")
    weights = adapter / "adapter_model.safetensors"
    if not weights.is_file():
        raise NoInputError(f"{adapter}: no adapter here: the folder has no adapter_model.safetensors")
    try:
        with loading(f"{adapter}: the adapter cannot be loaded", except_for=(ValueError, KeyError)):
            adapted = peft.PeftModel.from_pretrained(model, str(adapter), autocast_adapter_dtype=False)
    except (RuntimeError, ValueError, KeyError) as error:
        raise ConfigError(f"{adapter}: the adapter does not fit the model: {first_line(error)}") from error
    from safetensors import safe_open

    with (
        loading(f"{adapter}: the adapter cannot be loaded"),
        safe_open(str(weights), framework="pt") as stored,
    ):
        given = set(stored.keys())
    wanted = set(peft.get_peft_model_state_dict(adapted))
    if given != wanted:
        odd = sorted(given ^ wanted)[0]
        raise ConfigError(f"{adapter}: the adapter does not fit the model: tensor {odd} is on one side only")
    if next(model.parameters()).dtype == torch.float32:
        return adapted.merge_and_unload()
    return adapted


def versions() -> Mapping[str, str]:
    """Return the versions of the libraries that decide a model's numbers."""
    found: dict[str, str] = {}
    for name in ("torch", "transformers", "tokenizers", "peft", "accelerate"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def require(module: str) -> Any:
    """Import a library of the ``train`` extra; UnavailableError says how to get it."""
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise UnavailableError(f"{module} is not installed; pip install 'autosel[train]'") from None
    if module == "transformers":
        # Its own bars and advice would run between the lines of our progress.
        loaded.utils.logging.disable_progress_bar()
        loaded.utils.logging.set_verbosity_error()
        warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    return loaded


@contextmanager
def loading(what: str, *, except_for: tuple[type[Exception], ...] = ()) -> Generator[None]:
    """Turn what libraries raise of files that are damaged or not theirs, which is anything, into NoInputError.

    Errors of the device or of memory are left as they are.
    """
    try:
        yield
    except (AutoselError, RuntimeError, MemoryError, *except_for):
        raise
    except (OSError, ValueError) as error:
        raise NoInputError(f"{what}: {first_line(error)}") from error
    except Exception as error:
        why = f"{type(error).__name__}: {first_line(error)}"
        raise NoInputError(f"{what}: a file of it is damaged or of another kind ({why})") from error


def first_line(error: BaseException) -> str:
    """Return the first line of a library's message, without a final full stop."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
