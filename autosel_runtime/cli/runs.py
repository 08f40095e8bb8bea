"""autosel report, explain, lock, verify: what a run folder tells."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from autosel_runtime.cli.inputs import object_inputs
from autosel_runtime.cli.output import Json, closed_is_broken, command, emit_json, example, folded, note, say
from autosel_runtime.cli.target import RULE, Context, Kubeconfig, Namespace, Options, resolve
from autosel_runtime.errors import InvalidDocumentError, OutputError, Problem, UsageError
from autosel_runtime.progress import plural

if TYPE_CHECKING:
    from autosel_runtime.api.resources import StorageSpec
    from autosel_runtime.report.model import Report
    from controller.cluster.question import Question
    from controller.cluster.report import Records

Run = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=f"{RULE}\n\n{example('autosel report runs/quickstart')}")(report)
    app.command(epilog=example("autosel explain runs/quickstart t00001 full-pool"))(explain)
    app.command(epilog=example("autosel lock runs/quickstart"))(lock)
    app.command(epilog=example("autosel verify runs/quickstart/recipe.lock"))(verify)


@command
def report(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run folder, or search in a cluster.")],
    all_trials: Annotated[bool, typer.Option("--all", help="Show all trials, not the best 20.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write the page to this file, too.")
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="URI", help="Store of a search that left it to the operator: s3://bucket/prefix."
        ),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(metavar="URL", help="S3 endpoint of the cluster's store, if another one from here."),
    ] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    json_output: Json = False,
) -> None:
    """Show a search, finished or not.

    Of a run folder it also writes RUN/report.html and RUN/report.json. In a cluster it reads the report that the
    search has published in its store, with the S3 credentials of the environment; else it shows what the cluster
    knows and says what is missing. The JSON document is versioned; docs/report.md has its schema.
    """
    from autosel_runtime.report.model import report_json
    from autosel_runtime.report.page import report_page
    from autosel_runtime.report.table import print_report

    target = resolve(run, Options(namespace=namespace, context=context, kubeconfig=kubeconfig))
    found, page = (
        _folder_report(target) if isinstance(target, Path) else _cluster_report(target, store, endpoint)
    )
    if out is not None:
        out.write_text(report_page(found), encoding="utf-8")
        page = out
    if json_output:
        say(report_json(found).rstrip("\n"))
        return
    closed_is_broken(lambda: print_report(found, all_trials=all_trials))
    if page is not None:
        say(f"page: {page}")


def _folder_report(run: Path) -> "tuple[Report, Path | None]":
    """Return the report of a run folder, and its page where it could be written."""
    from controller.local.report import report_of, write_report

    found = report_of(run)
    try:
        write_report(run, found)
    except OutputError as error:
        note(str(error))
        return found, None
    return found, run / "report.html"


def _cluster_report(
    question: "Question", store: str | None, endpoint: str | None
) -> "tuple[Report, Path | None]":
    """Return the report of a search in a cluster; what is missing is told."""
    from controller.cluster.connect import ask, connect
    from controller.cluster.report import read_records, report_of

    async def read() -> "Records":
        async with connect(question) as cluster:
            return await read_records(cluster)

    found, notes = report_of(ask(read()), store=store, endpoint=endpoint)
    for text in notes:
        note(text)
    return found, None


@command
def explain(
    run: Run,
    a: Annotated[str, typer.Argument(metavar="A", help="Trial or baseline, by name or number.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Trial or baseline, by name or number.")],
    style: Annotated[
        Literal["text", "markdown"], typer.Option("--format", metavar="STYLE", help="text or markdown.")
    ] = "text",
    examples: Annotated[
        int, typer.Option(min=0, max=1000, metavar="COUNT", help="Example samples to show.")
    ] = 20,
    json_output: Json = False,
) -> None:
    """Compare the subsets of two trials.

    Which samples are in one and not in the other, which step dropped them, and which signals tell them apart.
    """
    from autosel_runtime.report.explain import explain as compare
    from autosel_runtime.report.explain_text import explanation_markdown, explanation_text
    from controller.local.subsets import open_subsets

    subsets = open_subsets(run)
    found = compare(subsets.side(a), subsets.side(b), subsets.columns, subsets.read, examples=examples)
    if json_output:
        emit_json(found.model_dump(mode="json"))
    else:
        text = explanation_markdown(found) if style == "markdown" else explanation_text(found)
        say(folded(text.rstrip("\n")))


@command
def lock(
    run: Run,
    trial: Annotated[
        str | None, typer.Option(metavar="TRIAL", help="Trial to lock; the chosen one when left out.")
    ] = None,
    json_output: Json = False,
) -> None:
    """Write RUN/recipe.lock; with --trial, RUN/TRIAL.lock.

    It holds what the subset follows from: pool, columns, recipe, seeds, versions and digests.
    """
    from autosel_runtime.report.lock_file import lock_text
    from controller.local.folder import write_bytes
    from controller.local.subsets import lock_of

    found = lock_of(run, trial)
    path = run / ("recipe.lock" if trial is None else f"{found.trial}.lock")
    write_bytes(path, lock_text(found).encode())
    if json_output:
        emit_json({"lock": str(path), **found.model_dump(mode="json", by_alias=True)})
    else:
        say(f"{path}: trial {found.trial}, {plural(found.chosen.size, 'sample')}")
        say(f"digest {found.chosen.subset_digest}")


@command
def verify(
    lock_file: Annotated[Path, typer.Argument(metavar="LOCK", help="recipe.lock.")],
    run: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Run folder with pool and signals; the lock's own folder."),
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Use no run folder: make pool and columns again from the files below DIR."
        ),
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help="S3 endpoint of files that the lock names by s3://.")
    ] = None,
    json_output: Json = False,
) -> None:
    """Check that a lock still holds.

    The locked recipe is executed again and every digest compared; the exit code is 65 if one differs. With --base, or
    where the lock lies in no run folder, pool and columns are made again from the raw files that the lock names;
    columns of token probabilities then take the model, too.
    """
    from tempfile import TemporaryDirectory

    from autosel_runtime.report.lock_file import read_lock
    from controller.local.rebuild import verify_from_files
    from controller.local.subsets import verify_run

    if run is not None and base is not None:
        raise UsageError("--run and --base exclude each other: signals that exist, or signals made again")
    folder = run or lock_file.parent
    if base is None and (run is not None or (folder / "search.json").exists()):
        found = verify_run(lock_file, folder)
    else:
        locked = read_lock(lock_file)
        where = (base or folder).resolve()
        with (
            TemporaryDirectory(prefix="autosel-verify-") as work,
            object_inputs(_storage(endpoint), base=where, beside=Path(work) / "s3") as inputs,
        ):
            found = verify_from_files(locked, where, Path(work), note, inputs)
    if found:
        raise InvalidDocumentError(
            [Problem(file=str(lock_file), line=None, field="", message=one) for one in found]
        )
    if json_output:
        emit_json({"lock": str(lock_file), "valid": True})
    else:
        say(f"{lock_file} holds")


def _storage(endpoint: str | None) -> "StorageSpec | None":
    from autosel_runtime.api.resources import StorageSpec
    from autosel_runtime.api.uris import web_address_problem

    if endpoint is None:
        return None
    problem = web_address_problem(endpoint)
    if problem is not None:
        raise UsageError(f"--endpoint: {problem}")
    return StorageSpec(endpoint=endpoint)
