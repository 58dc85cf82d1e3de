exec waitress-serve --no-clear-untrusted-proxy-headers --listen "127.0.0.1:${PORT:-8000}" --threads 8 --call falcorest:create_app
