# The workers share their metrics in this folder.
PROMETHEUS_MULTIPROC_DIR=$(mktemp -d)
export PROMETHEUS_MULTIPROC_DIR

exec granian --interface wsgi --http 1 --host 127.0.0.1 --port "${PORT:-8000}" \
  --workers 2 --blocking-threads 4 --workers-kill-timeout 30 \
  --factory falcorest:create_app
