# On a replica set of one:
FALCOREST_WRITE_CONCERN=3 falcorest check || echo "exit code $?"
