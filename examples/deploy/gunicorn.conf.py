"""Read by gunicorn from the folder that it is started in, beside .env and falcorest.toml."""

wsgi_app = "falcorest:create_app()"
bind = "127.0.0.1:8000"
workers = 2
worker_class = "gthread"
threads = 4
