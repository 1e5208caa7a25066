"""What the hub may have a gateway do: executed at most once, with a result always."""
