"""The bad days: a replica set that breaks behind falcorest, and a ledger of what was promised."""
