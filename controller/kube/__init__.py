"""The cluster shell: reconcile carried out with Jobs. Files that render and read objects do no input or output."""
