API=${API:-http://127.0.0.1:8000}
ENGINES="$API/api/rocket_engines"
AUTH="Authorization: Bearer $TOKEN"
KEY='Idempotency-Key: "5a4f0b1e-7c35-4f0e-9d0c-1b7e2f6a8c11"'

# The first time, it is done.
curl -s -i "$ENGINES" -H "$AUTH" -H "$KEY" --json '{"name": "Prometheus"}' |
  grep -i '^HTTP\|^idempotency-replayed\|^{'
echo

# The second time, it is answered and not done.
curl -s -i "$ENGINES" -H "$AUTH" -H "$KEY" --json '{"name": "Prometheus"}' |
  grep -i '^HTTP\|^idempotency-replayed\|^{'
echo
curl -s "$ENGINES?name=Prometheus&_projection=name"
echo

# The same key for something else is refused.
curl -s "$ENGINES" -H "$AUTH" -H "$KEY" --json '{"name": "Raptor"}' | python3 -m json.tool
