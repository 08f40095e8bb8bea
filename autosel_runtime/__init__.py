"""autosel: fixed-pool data recipe search for supervised fine-tuning."""

__version__ = "0.1.0"
