"""Model folders in Hugging Face layout: what identifies one, and whether it can be read."""

import fnmatch
from pathlib import Path
from typing import Any

import orjson

from autosel_runtime.digest import digest, digest_file
from autosel_runtime.errors import DataError, NoInputError

CONFIG = "config.json"

# Everything that token probabilities depend on; not the model card, nor how to generate.
_CONTENT = (
    CONFIG, "*.safetensors", "*.safetensors.index.json", "tokenizer*", "vocab*", "merges.txt", "*.model", "*.tiktoken",
    "special_tokens_map.json", "added_tokens.json", "chat_template*",
)


def model_config(folder: Path) -> dict[str, Any]:
    """Return a model folder's configuration.

    NoInputError when the folder, its configuration or its safetensors weights are missing, DataError when the
    configuration is no JSON object.
    """
    path = folder / CONFIG
    if not folder.is_dir():
        raise NoInputError(f"{folder}: the model folder does not exist")
    if not path.is_file():
        raise NoInputError(f"{folder}: no {CONFIG}, so this is no model folder; give one in Hugging Face layout")
    if not any(folder.glob("*.safetensors")):
        raise NoInputError(f"{folder}: no *.safetensors weights; other formats are not read, convert the model")
    try:
        config = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise DataError(f"{path}: not JSON: {error}") from None
    if not isinstance(config, dict):
        raise DataError(f"{path}: must be a JSON object, not {type(config).__name__}")
    return config


def model_digest(folder: Path) -> str:
    """Return the identity of a model folder: the digest of its configuration, weights and tokenizer files.

    The folder's name and place do not matter. Errors as ``model_config``.
    """
    model_config(folder)
    files = sorted(
        path for path in folder.iterdir()
        if path.is_file() and any(fnmatch.fnmatch(path.name, pattern) for pattern in _CONTENT)
    )
    return digest({path.name: digest_file(path) for path in files})
