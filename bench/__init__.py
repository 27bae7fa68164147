"""What `make bench` runs: each figure as a ratio against a floor measured in the same run, so that a busy machine changes little."""
