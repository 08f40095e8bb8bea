"""What a person asks of a search in a cluster: look, follow, report, logs, suspend. Everything is read live."""
