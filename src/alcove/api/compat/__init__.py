"""APIs of other products, for the clients that people have. Thin: every rule is in `core`."""
