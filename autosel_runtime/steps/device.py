"""How many accelerators a step uses, for its bill."""


def device_count() -> int:
    """Return the number of visible accelerators; 0 on a machine without any."""
    import torch

    return torch.accelerator.device_count() if torch.accelerator.is_available() else 0
