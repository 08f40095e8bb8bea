"""One word for two places: a path that exists is a run folder, anything else the name of a search in a cluster."""

import importlib
import re
from pathlib import Path
from typing import Annotated

import typer

from autosel_runtime.errors import NoInputError, UnavailableError, UsageError
from controller.cluster.question import Options, Question

RULE = (
    "A path that exists is a run folder; anything else is the name of a search in the cluster of the kubeconfig. "
    "./NAME is always a folder, rsearch/NAME always a search in the cluster."
)
PREFIXES = ("rsearch/", "recipesearch/", "recipesearches/")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")

Target = Annotated[str, typer.Argument(metavar="NAME", help="Run folder, or search in a cluster.")]
Namespace = Annotated[
    str | None, typer.Option("-n", "--namespace", metavar="NS", help="Namespace in the cluster.")
]
Context = Annotated[str | None, typer.Option(metavar="NAME", help="Context of the kubeconfig.")]
Kubeconfig = Annotated[str | None, typer.Option(metavar="FILE", help="Kubeconfig of the cluster.")]


def resolve(name: str, options: Options) -> Path | Question:
    """Return the run folder or the search in a cluster that ``name`` means; UsageError where it may mean both."""
    prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), "")
    bare, path = name.removeprefix(prefix), Path(name)
    if not prefix and path.exists():
        if options.given:
            raise UsageError(
                f"{name} exists here and is taken for a run folder, but the options speak of a cluster; "
                f"leave them out, or write rsearch/{path.name} for the search in the cluster"
            )
        if not (path / "search.json").exists():
            aside = (
                f"; rsearch/{name} is the search of that name in the cluster" if _NAME.fullmatch(name) else ""
            )
            raise NoInputError(f"{name} is not a run folder: it has no search.json{aside}")
        return path
    if not _NAME.fullmatch(bare):
        raise NoInputError(f"{name} is not a run folder: it does not exist; nor is it the name of a search")
    return _question(bare, options)


def _question(name: str, options: Options) -> Question:
    try:
        importlib.import_module("controller.cluster.connect")
    except ModuleNotFoundError as error:
        if error.name != "aiohttp":
            raise
        raise UnavailableError(
            f"{name} is not a run folder; to ask a cluster for a search of that name, aiohttp is needed: "
            "pip install 'autosel[cluster]'"
        ) from None
    return Question(
        name=name, namespace=options.namespace, context=options.context, kubeconfig=options.kubeconfig
    )


def spoken(question: Question) -> str:
    """Return the command-line form of a search, to be told in advice: ``quickstart -n ml``."""
    options = (
        ("-n", question.namespace),
        ("--context", question.context),
        ("--kubeconfig", question.kubeconfig),
    )
    return " ".join([question.name, *(f"{flag} {value}" for flag, value in options if value is not None)])
