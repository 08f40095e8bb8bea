"""Model folders in Hugging Face layout: whether one can be read."""

from pathlib import Path
from typing import Any

import orjson

from autosel_runtime.errors import DataError, NoInputError

CONFIG = "config.json"


def model_config(folder: Path) -> dict[str, Any]:
    """Return a model folder's configuration.

    NoInputError when the folder, its configuration or its safetensors weights are missing, DataError when the
    configuration is no JSON object.
    """
    path = folder / CONFIG
    if not folder.is_dir():
        raise NoInputError(f"{folder}: the model folder does not exist")
    if not path.is_file():
        raise NoInputError(
            f"{folder}: no {CONFIG}, so this is no model folder; give one in Hugging Face layout"
        )
    if not any(folder.glob("*.safetensors")):
        raise NoInputError(
            f"{folder}: no *.safetensors weights; other formats are not read, convert the model"
        )
    try:
        config = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise DataError(f"{path}: not JSON: {error}") from None
    if not isinstance(config, dict):
        raise DataError(f"{path}: must be a JSON object, not {type(config).__name__}")
    return config
