"""The shell for one machine: the same reconcile, carried out with processes and a folder."""
