"""The shell for a cluster: the same reconcile, carried out with Jobs and custom resources."""
