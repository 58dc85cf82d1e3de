API=${API:-http://127.0.0.1:8000}
ENGINE="$API/api/rocket_engines/6195b0eb829a2784b4459a07?_projection=name"

read_engine() {
  curl -s -w '\n%{http_code} etag=%header{etag} cache-control=%header{cache-control}\n' \
    "$ENGINE" -H "If-None-Match: $1"
}

read_engine '"another"'
read_engine "$(curl -s -o /dev/null -w '%header{etag}' "$ENGINE")"
