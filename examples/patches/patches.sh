API=${API:-http://127.0.0.1:8000}
ENGINE="$API/api/rocket_engines/demo"
AUTH="Authorization: Bearer $TOKEN"

patch() {
  curl -s -w '\n' -X PATCH "$ENGINE" -H "$AUTH" -H "Content-Type: $1" \
    -H 'Prefer: return=representation' -d "$2"
}

curl -s -X PUT "$ENGINE" -H "$AUTH" \
  --json '{"name": "Demo", "fuel": {"kind": "RP-1", "kg": 100}, "tests": [7, 9]}'
echo

# A plain body sets what it names; an object in it replaces what was there.
patch application/json '{"name": "Demo 2", "fuel": {"kind": "methane", "kg": 90}}'

# A merge patch goes into objects, and null takes a field away.
patch application/merge-patch+json '{"fuel": {"kg": 80}, "name": null}'

# A JSON Patch is a list of operations, which happen all or not at all.
patch application/json-patch+json '[
  {"op": "test", "path": "/fuel/kind", "value": "methane"},
  {"op": "move", "from": "/fuel", "path": "/propellant"},
  {"op": "add", "path": "/tests/-", "value": 11},
  {"op": "remove", "path": "/tests/0"}]'

# It is refused where it doesn't fit the document.
patch application/json-patch+json '[
  {"op": "remove", "path": "/tests/0"},
  {"op": "test", "path": "/propellant/kind", "value": "RP-1"}]'

# Which types there are.
curl -s -o /dev/null -w '%header{accept-patch}\n' -X OPTIONS "$ENGINE"
