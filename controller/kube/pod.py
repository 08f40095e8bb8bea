"""The pod of a step: one container that reads a document, works in its scratch folder and leaves a message.

Restricted pod security, no credentials of the API server, secrets by reference only. Nothing of the pod outlives it:
results are in the store, the account is the termination message.
"""

import math
from typing import Any

from autosel_runtime.api.recipe_search import RecipeSearch
from autosel_runtime.api.resources import MULTI_NODE_STEP, SHARDED_STEPS, StepResources, StorageSpec
from autosel_runtime.errors import ConfigError
from autosel_runtime.steps.run import RESULT_FILE_VARIABLE
from autosel_runtime.steps.sharing import COUNT_VARIABLE
from controller.kube import accelerators
from controller.kube.overlay import CONTAINER_SECURITY, merge_template
from controller.kube.podstate import STEP_CONTAINER
from controller.kube.settings import JobSettings
from controller.kube.storage import CA_FOLDER, CA_VOLUME, certificates, secret_environment
from controller.reconcile.model import StepRequest

DOCUMENT_FOLDER = "/etc/autosel"
DOCUMENT_FILE = "step.json"
RESULT_FILE = "/dev/termination-log"
WORK = "/scratch"
RENDEZVOUS_PORT = 29500


def resources_of(search: RecipeSearch, request: StepRequest) -> StepResources:
    """Return the resources of a step's kind."""
    return getattr(search.spec.steps, request.step)


def nodes_of(search: RecipeSearch, request: StepRequest) -> int:
    """Return the pods that work together on a step; only train spreads over several."""
    return resources_of(search, request).nodes if request.step == MULTI_NODE_STEP else 1


def shards_of(search: RecipeSearch, request: StepRequest) -> int:
    """Return the pods that share a step's work, each on its own; only score and evaluate can be shared out."""
    return resources_of(search, request).shards if request.step in SHARDED_STEPS else 1


def pod_template(
    request: StepRequest,
    search: RecipeSearch,
    *,
    job: str,
    service: str | None,
    labels: dict[str, str],
    storage: StorageSpec,
    settings: JobSettings,
) -> dict[str, Any]:
    """Return the pod template of a step with the search's own template merged over it.

    ``job`` is also the name of the ConfigMap with the document; ``service`` names the headless Service of a multi-node
    step. Raises ConfigError for settings that cannot work together.
    """
    resources = resources_of(search, request)
    nodes = nodes_of(search, request)
    scheduling = search.spec.scheduling
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": settings.grace_seconds,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": settings.user,
            "runAsGroup": settings.user,
            "fsGroup": settings.user,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(request, search, job, service, storage, settings)],
        "volumes": _volumes(resources, nodes, job, storage, settings),
    }
    optional: dict[str, Any] = {
        "subdomain": service,
        "serviceAccountName": scheduling.service_account_name,
        "priorityClassName": scheduling.priority_class_name,
        "runtimeClassName": scheduling.runtime_class_name,
        "imagePullSecrets": [{"name": name} for name in scheduling.image_pull_secrets],
        "nodeSelector": dict(resources.node_selector),
        "tolerations": [dict(toleration) for toleration in resources.tolerations],
    }
    spec |= {key: value for key, value in optional.items() if value}
    return merge_template(
        {"metadata": {"labels": labels}, "spec": spec},
        resources.pod_template,
        field=f"spec.steps.{request.step}.podTemplate",
    )


def _container(
    request: StepRequest,
    search: RecipeSearch,
    job: str,
    service: str | None,
    storage: StorageSpec,
    settings: JobSettings,
) -> dict[str, Any]:
    resources = resources_of(search, request)
    nodes = nodes_of(search, request)
    mounts = [
        {"name": "document", "mountPath": DOCUMENT_FOLDER, "readOnly": True},
        {"name": "work", "mountPath": WORK},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  the pod's own
    ]
    if _needs_shared_memory(resources, nodes):
        mounts.append({"name": "shared-memory", "mountPath": "/dev/shm"})  # noqa: S108
    if certificates(storage) is not None:
        mounts.append({"name": CA_VOLUME, "mountPath": CA_FOLDER, "readOnly": True})
    return {
        "name": STEP_CONTAINER,
        "image": settings.image_of(resources),
        "imagePullPolicy": settings.image_pull_policy,
        "command": _command(request, resources, nodes, job, service),
        "env": [
            *_environment(_threads(resources.cpu) // _processes(request, resources)),
            *_share(shards_of(search, request)),
            *accelerators.environment(resources.accelerator, nodes=nodes),
            *secret_environment(search.spec, storage, request.step),
        ],
        "resources": _requests(resources),
        "securityContext": dict(CONTAINER_SECURITY),
        "terminationMessagePath": RESULT_FILE,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    }


def _command(
    request: StepRequest, resources: StepResources, nodes: int, job: str, service: str | None
) -> list[str]:
    step = ["autosel_runtime.steps", request.step, "--spec", f"{DOCUMENT_FOLDER}/{DOCUMENT_FILE}"]
    processes = _processes(request, resources)
    if nodes == 1 and processes == 1:
        return ["python", "-m", *step]
    where = ["--standalone"]
    if service is not None:
        # Static rendezvous, so that rank 0, which leaves the result, is on the pod with index 0.
        where = [
            f"--nnodes={nodes}",
            "--node-rank=$(JOB_COMPLETION_INDEX)",
            f"--rdzv-endpoint={job}-0.{service}:{RENDEZVOUS_PORT}",
        ]
    return ["torchrun", *where, f"--nproc-per-node={processes}", "-m", *step]


def _processes(request: StepRequest, resources: StepResources) -> int:
    """Return the processes of a pod: training has one a device, every other step is one."""
    devices = accelerators.device_count(resources.accelerator)
    return max(1, devices) if request.step == "train" else 1


def _environment(threads: int) -> list[dict[str, Any]]:
    """A fixed number of threads a process, since sums of floats depend on it; caches in the scratch folder."""
    variables = {
        RESULT_FILE_VARIABLE: RESULT_FILE,
        "HOME": WORK,
        "USER": "autosel",  # the numeric user has no entry in the image's list of users
        "XDG_CACHE_HOME": f"{WORK}/cache",
        "HF_HOME": f"{WORK}/cache/huggingface",
        "OMP_NUM_THREADS": str(max(1, threads)),
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
    }
    return [{"name": name, "value": value} for name, value in variables.items()]


def _share(shards: int) -> list[dict[str, Any]]:
    """Tell a pod how many shards there are; which is its own, the Job controller tells it.

    The number travels with the Job, not with the document: an edit between the two would let pods disagree.
    """
    return [{"name": COUNT_VARIABLE, "value": str(shards)}] if shards > 1 else []


def _threads(cpu: str) -> int:
    try:
        cores = float(cpu[:-1]) / 1000 if cpu.endswith("m") else float(cpu)
    except ValueError:
        raise ConfigError(f"cpu: {cpu!r} is no number of processors; write 4 or 500m") from None
    return max(1, math.ceil(cores))


def _requests(resources: StepResources) -> dict[str, Any]:
    """No processor limit: throttling would only slow a step down. Memory is a limit, so that no neighbour suffers."""
    fixed = {"memory": resources.memory}
    name = accelerators.resource_name(resources.accelerator)
    if name is not None:
        fixed[name] = str(accelerators.device_count(resources.accelerator))
    return {"requests": {"cpu": resources.cpu, **fixed}, "limits": fixed}


def _volumes(
    resources: StepResources, nodes: int, job: str, storage: StorageSpec, settings: JobSettings
) -> list[dict[str, Any]]:
    work = {"sizeLimit": settings.work_size} if settings.work_size else {}
    volumes: list[dict[str, Any]] = [
        {"name": "document", "configMap": {"name": job}},
        {"name": "work", "emptyDir": work},
        {"name": "tmp", "emptyDir": {}},
    ]
    if _needs_shared_memory(resources, nodes):
        memory = {"medium": "Memory", "sizeLimit": resources.memory}
        volumes.append({"name": "shared-memory", "emptyDir": memory})
    found = certificates(storage)
    if found is not None:
        volumes.append(dict(found.volume))
    return volumes


def _needs_shared_memory(resources: StepResources, nodes: int) -> bool:
    # Collectives and data loaders pass tensors through /dev/shm, which is 64 MiB unless it is asked for.
    return resources.accelerator.kind != "none" or nodes > 1
