"""What a person is shown of a search: the same views of a run folder and of a cluster. Pure."""
