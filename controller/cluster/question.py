"""What a command asks of which cluster; without the network, for commands that need none."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line says of the cluster; None is what the kubeconfig says."""

    namespace: str | None = None
    context: str | None = None
    kubeconfig: str | None = None

    @property
    def given(self) -> bool:
        """Whether anything speaks of a cluster."""
        return any(option is not None for option in (self.namespace, self.context, self.kubeconfig))


@dataclass(frozen=True, kw_only=True)
class Question(Options):
    """Which search, and how its cluster is reached."""

    name: str
