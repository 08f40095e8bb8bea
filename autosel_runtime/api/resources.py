"""Where steps run and where their data lies."""

from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from autosel_runtime.api.common import FreeObject, Labels, Model, ShortText, Uri
from autosel_runtime.api.findings import Finding, Ruled
from autosel_runtime.api.search import SecretKeyRef
from autosel_runtime.api.uris import StoreUri

StepName = Literal["prepare", "score", "suggest", "materialize", "train", "evaluate", "report"]
# Steps whose work several pods share, and the one that several pods do together; elsewhere these fields are refused.
SHARDED_STEPS: Final = ("score", "evaluate")
MULTI_NODE_STEP: Final = "train"
ONLY_SHARDED: Final = "only score and evaluate can be shared out to several pods"
ONLY_MULTI_NODE: Final = "only train can span several pods; score and evaluate have shards"
Quantity = Annotated[str, Field(max_length=32, pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$")]


class Accelerator(Model):
    """Devices of one pod."""

    kind: Literal["none", "nvidia", "amd", "ascend"] = Field(
        default="none",
        description="Vendor; decides the resource name and the environment.",
        examples=["nvidia"],
    )
    count: int = Field(default=1, ge=1, le=64, description="Devices of a pod.", examples=[1])
    resource: ShortText | None = Field(
        default=None,
        description="Resource name when it is not the vendor's usual one.",
        examples=["nvidia.com/mig-3g.40gb"],
    )


class StepResources(Model):
    """Resources and placement of one kind of step."""

    cpu: Quantity = Field(default="1", description="Processor request.", examples=["4"])
    memory: Quantity = Field(default="2Gi", description="Memory request and limit.", examples=["32Gi"])
    accelerator: Accelerator = Field(
        default=Accelerator(), description="Accelerators.", examples=[{"kind": "nvidia", "count": 1}]
    )
    shards: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="Pods that share the work of score or evaluate; other steps take 1. The result is the same for "
        "any number. On one machine one process does it all.",
        examples=[4],
    )
    nodes: int = Field(
        default=1,
        ge=1,
        le=256,
        description="Pods of a distributed train step; other steps take 1. One machine ignores it: it has no pods.",
        examples=[2],
    )
    image: ShortText | None = Field(
        default=None,
        description="Image, best by digest; the operator's default when left out.",
        examples=["ghcr.io/autosel/runtime-cuda@sha256:..."],
    )
    node_selector: Labels = Field(
        default_factory=dict[str, str],
        description="Labels a node must have.",
        examples=[{"pool": "gpu-h100"}],
    )
    tolerations: Annotated[list[FreeObject], Field(max_length=32)] = Field(
        default_factory=list[dict[str, Any]],
        description="Taints that are tolerated.",
        examples=[[{"key": "nvidia.com/gpu", "operator": "Exists"}]],
    )
    pod_template: FreeObject = Field(
        default_factory=dict[str, Any],
        description="Merged over the pod template that the operator makes; what loosens its security is refused.",
        examples=[{"spec": {"runtimeClassName": "nvidia"}}],
    )


class StepsSpec(Ruled):
    """Resources by step; a step that is left out takes the defaults."""

    prepare: StepResources = Field(
        default=StepResources(), description="Reads the pool.", examples=[{"cpu": "4"}]
    )
    score: StepResources = Field(
        default=StepResources(), description="Computes signals.", examples=[{"shards": 4}]
    )
    suggest: StepResources = Field(
        default=StepResources(), description="Proposes recipes.", examples=[{"cpu": "2"}]
    )
    materialize: StepResources = Field(
        default=StepResources(), description="Writes a subset.", examples=[{"memory": "4Gi"}]
    )
    train: StepResources = Field(
        default=StepResources(), description="Fine-tunes.", examples=[{"accelerator": {"kind": "nvidia"}}]
    )
    evaluate: StepResources = Field(
        default=StepResources(), description="Scores a model.", examples=[{"accelerator": {"kind": "nvidia"}}]
    )
    report: StepResources = Field(
        default=StepResources(), description="Writes the report.", examples=[{"cpu": "1"}]
    )

    def disagreements(self) -> Iterator[Finding]:
        """Fields that would do nothing."""
        for step in StepsSpec.model_fields:
            resources: StepResources = getattr(self, step)
            if resources.shards > 1 and step not in SHARDED_STEPS:
                yield Finding(field=(step, "shards"), message=f"{step}.shards must be 1: {ONLY_SHARDED}")
            if resources.nodes > 1 and step != MULTI_NODE_STEP:
                yield Finding(field=(step, "nodes"), message=f"{step}.nodes must be 1: {ONLY_MULTI_NODE}")


class Scheduling(Model):
    """How step Jobs are queued and placed."""

    queue_name: ShortText | None = Field(default=None, description="Kueue queue.", examples=["ml-team"])
    priority_class_name: ShortText | None = Field(
        default=None, description="Pod priority.", examples=["batch-low"]
    )
    workload_priority_class: ShortText | None = Field(
        default=None, description="Kueue workload priority.", examples=["research"]
    )
    runtime_class_name: ShortText | None = Field(
        default=None, description="Container runtime.", examples=["nvidia"]
    )
    image_pull_secrets: Annotated[list[ShortText], Field(max_length=16)] = Field(
        default_factory=list, description="Secrets for pulling images.", examples=[["registry"]]
    )
    service_account_name: ShortText | None = Field(
        default=None,
        description="Service account of step pods, for workload identity.",
        examples=["autosel-steps"],
    )


class StorageSpec(Model):
    """The store that holds the pool, signals, subsets, models and results."""

    uri: StoreUri | None = Field(
        default=None,
        description="s3://bucket/prefix, or a folder; on one machine the run's own folder when left out.",
        examples=["s3://ml-data/autosel"],
    )
    endpoint: Uri | None = Field(
        default=None,
        description="S3 endpoint; the provider's own when left out.",
        examples=["https://s3.example.com"],
    )
    region: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        default=None, description="S3 region.", examples=["eu-central-1"]
    )
    path_style: bool = Field(
        default=False, description="Bucket in the path, not in the host.", examples=[True]
    )
    ca_bundle: Uri | None = Field(
        default=None,
        description="File with certificates of the endpoint's authority; in a cluster also configmap://NAME/KEY or "
        "secret://NAME/KEY.",
        examples=["/etc/ca/ca.crt"],
    )
    access_key: SecretKeyRef | None = Field(
        default=None,
        description="Access key id; the environment's usual credentials when left out.",
        examples=[{"name": "s3", "key": "AWS_ACCESS_KEY_ID"}],
    )
    secret_key: SecretKeyRef | None = Field(
        default=None,
        description="Secret access key.",
        examples=[{"name": "s3", "key": "AWS_SECRET_ACCESS_KEY"}],
    )
