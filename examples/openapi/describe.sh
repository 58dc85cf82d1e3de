API=${API:-http://127.0.0.1:8000}

# What the caller may do, here somebody who hasn't logged in.
curl -s "$API/openapi.json" | python3 -c '
import json, sys
document = json.load(sys.stdin)
for path, operations in document["paths"].items():
    for verb in sorted(set(operations) - {"parameters"}):
        needed = operations[verb].get("security", [])
        print(verb, path, "" if {} in needed or not needed else "(needs a login)")
engine = document["components"]["schemas"]["RocketEngines"]
print("x-inferred:", engine["x-inferred"])
print(json.dumps(engine["properties"]["first_flight"]))'

# It isn't sent again while it stays the same.
TAG=$(curl -s -o /dev/null -D - "$API/openapi.json" | grep -i '^etag:' | cut -d ' ' -f 2 | tr -d '\r')
curl -s -o /dev/null -w '%{http_code}\n' "$API/openapi.json" -H "If-None-Match: $TAG"
