"""Read by gunicorn from the folder that it is started in, beside .env and falcorest.toml."""

import os
import shutil
import tempfile

wsgi_app = "falcorest:create_app()"
bind = "127.0.0.1:8000"
workers = 2
worker_class = "falcorest.gunicorn_worker.Worker"
threads = 4

# The workers share their metrics in this folder.
if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="falcorest-metrics-")


def on_exit(server):
    shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
