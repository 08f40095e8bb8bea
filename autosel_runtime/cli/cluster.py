"""autosel watch, describe, logs, suspend, resume: a search while it goes on, in a run folder or in a cluster."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autosel_runtime.cli.loglines import Wanted, cluster_log, folder_log
from autosel_runtime.cli.output import INTERRUPTED, Json, command, emit_json, example, folded, note, say
from autosel_runtime.cli.target import RULE, Context, Kubeconfig, Namespace, Options, Target, resolve, spoken
from autosel_runtime.errors import AutoselError, UsageError

if TYPE_CHECKING:
    from autosel_runtime.cli.live import Lines, Table
    from controller.cluster.question import Question
    from controller.views.describe import Description
    from controller.views.snapshot import Snapshot

JsonLines = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=f"{RULE}\n\n{example('autosel watch runs/quickstart')}")(watch)
    app.command(epilog=f"{RULE}\n\n{example('autosel describe runs/quickstart')}")(describe)
    app.command(epilog=f"{RULE}\n\n{example('autosel logs runs/quickstart --trial t00001 --step train')}")(
        logs
    )
    app.command(epilog=example("autosel suspend quickstart -n ml"))(suspend)
    app.command(epilog=example("autosel resume quickstart -n ml"))(resume)


@command
def watch(
    name: Target,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    json_output: JsonLines = False,
) -> None:
    """Follow a search to its end.

    On a terminal a table of all trials; elsewhere a line for each change. Exits with 0 when the search succeeds and
    with the code of the step that stopped it when it fails. Ctrl-c ends the watching only.
    """
    target = resolve(name, Options(namespace=namespace, context=context, kubeconfig=kubeconfig))
    view = _view(as_json=json_output)
    try:
        with view:
            last = _watch_folder(target, view) if isinstance(target, Path) else _watch_cluster(target, view)
            view.end(last)
    except KeyboardInterrupt:
        if isinstance(target, Path):
            note(f"no longer watched; the run goes on. autosel watch {target} looks again")
        else:
            note(
                f"no longer watched; the search goes on in the cluster. autosel watch {spoken(target)} looks again"
            )
        raise typer.Exit(INTERRUPTED) from None
    if last.state == "failed":
        error = AutoselError(f"the search failed: {last.message}")
        error.exit_code = last.exit_code
        if not json_output:
            raise error
        raise typer.Exit(error.exit_code)
    if isinstance(target, Path) and not last.ended:
        note(f"no run carries it out now; autosel run goes on from here (the search: {last.message})")


def _view(*, as_json: bool) -> "Lines | Table":
    from autosel_runtime.cli.live import Lines, Table

    return Lines(as_json=as_json) if as_json or not sys.stdout.isatty() else Table()


def _watch_folder(folder: Path, view: "Lines | Table") -> "Snapshot":
    from controller.local.look import look, snapshots

    for snapshot in snapshots(folder):
        view.show(snapshot)
        if snapshot.ended:
            return snapshot
    return look(folder)


def _watch_cluster(question: "Question", view: "Lines | Table") -> "Snapshot":
    from controller.cluster.connect import ask, connect
    from controller.cluster.follow import snapshots

    async def follow() -> "Snapshot":
        async with connect(question) as cluster:
            async for snapshot in snapshots(cluster, trouble=view.trouble):
                view.show(snapshot)
                if snapshot.ended:
                    return snapshot
        raise AssertionError("a search is followed until it ends")

    return ask(follow())


@command
def describe(
    name: Target,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    json_output: Json = False,
) -> None:
    """Tell all about a search.

    What it is, how it stands and why, its best recipe, the steps that run with their pods and what they wait for,
    what comes next, and in a cluster the newest events.
    """
    from autosel_runtime.cli.description import description_text

    target = resolve(name, Options(namespace=namespace, context=context, kubeconfig=kubeconfig))
    found = _described(target)
    if json_output:
        emit_json(asdict(found))
    else:
        say(folded(description_text(found)))


def _described(target: "Path | Question") -> "Description":
    from controller.views.describe import description

    if isinstance(target, Path):
        from controller.local.look import look

        return description(look(target))
    from controller.cluster.connect import ask, connect
    from controller.cluster.describe import describe as read

    async def do() -> "Description":
        async with connect(target) as cluster:
            return await read(cluster)

    return ask(do())


@command
def logs(
    name: Target,
    trial: Annotated[
        str | None, typer.Option(metavar="TRIAL", help="Trial or baseline, by name or number.")
    ] = None,
    step: Annotated[
        str | None, typer.Option(metavar="STEP", help="prepare, score, suggest, train, evaluate and so on.")
    ] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until the step ends.")] = False,
    previous: Annotated[bool, typer.Option("--previous", help="Of the attempt before.")] = False,
    tail: Annotated[int | None, typer.Option(min=0, metavar="COUNT", help="The last lines only.")] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    json_output: JsonLines = False,
) -> None:
    """Print the log of a step.

    Without --trial and --step, of the step that runs or ran last. A step on several nodes has several pods, each line
    then begins with the pod's index.
    """
    target = resolve(name, Options(namespace=namespace, context=context, kubeconfig=kubeconfig))
    wanted = Wanted(trial=trial, step=step, follow=follow, previous=previous, tail=tail)
    try:
        if isinstance(target, Path):
            folder_log(target, wanted, as_json=json_output)
        else:
            cluster_log(target, wanted, as_json=json_output)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None  # nothing was stopped but the printing


@command
def suspend(
    name: Target,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    json_output: Json = False,
) -> None:
    """Start no new steps of a search in a cluster.

    Sets spec.suspend and nothing else. spec.suspendPolicy decides on the steps that run: Drain lets them finish, Stop
    ends them. Suspending twice changes nothing.
    """
    _switch(
        name, Options(namespace=namespace, context=context, kubeconfig=kubeconfig), True, as_json=json_output
    )


@command
def resume(
    name: Target,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    json_output: Json = False,
) -> None:
    """Let a suspended search in a cluster go on.

    What was finished is not done again.
    """
    _switch(
        name, Options(namespace=namespace, context=context, kubeconfig=kubeconfig), False, as_json=json_output
    )


def _switch(name: str, options: Options, suspended: bool, *, as_json: bool) -> None:
    target = resolve(name, options)
    if isinstance(target, Path):
        how = "ctrl-c stops its run" if suspended else "autosel run goes on with it"
        raise UsageError(f"{name} is a run folder, which needs no suspending: {how}, and nothing is lost")
    from controller.cluster.connect import ask, connect
    from controller.cluster.suspend import switch, words

    async def do() -> Any:
        async with connect(target) as cluster:
            return await switch(cluster, suspended=suspended)

    done = ask(do())
    if as_json:
        emit_json(asdict(done))
    else:
        for line in words(done):
            say(line)
