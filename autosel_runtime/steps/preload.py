"""Imported once by the server process that steps are forked from; nothing here may start a thread or a device."""

import contextlib
from importlib import import_module
from typing import get_args

from autosel_runtime.api.resources import StepName

MODULES = ("numpy", "pyarrow", "torch", "peft", "transformers")
# Names that transformers loads late, on first use.
LATE = ("AutoModelForCausalLM", "AutoTokenizer", "LlamaForCausalLM", "Trainer")

with contextlib.suppress(ImportError):  # a light install has no torch, and then no step that needs it
    loaded = [import_module(name) for name in MODULES]
    late = [getattr(loaded[-1], name) for name in LATE]
steps = [import_module(f"autosel_runtime.steps.{name}") for name in get_args(StepName)]
