"""The configuration that the hub desires: on probation until it has proved itself."""
