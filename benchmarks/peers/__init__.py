"""Programs of other frameworks that serve the same documents."""
