"""Imported once by the server process that steps are forked from; nothing here may start a thread or a device."""

import contextlib

import numpy as np  # noqa: F401
import pyarrow as pa  # noqa: F401

with contextlib.suppress(ImportError):
    import peft  # noqa: F401
    import torch  # noqa: F401
    import transformers  # noqa: F401
    from transformers import (  # noqa: F401
        AutoModelForCausalLM,
        AutoTokenizer,
        LlamaForCausalLM,
        Trainer,
    )
