"""Who was heard: the roster, the identifiers in the air, and the boundary no address crosses."""
