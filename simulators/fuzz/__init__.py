"""Fuzzing of every door that hostile octets can come to: `python -m simulators.fuzz`."""
