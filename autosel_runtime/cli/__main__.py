"""``python -m autosel_runtime.cli``: the command line without an installed script."""

from autosel_runtime.cli.main import main

if __name__ == "__main__":
    main()
