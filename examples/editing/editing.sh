API=${API:-http://127.0.0.1:8000}
ENGINE="$API/api/rocket_engines/6195b0eb829a2784b4459a07"
AUTH="Authorization: Bearer $TOKEN"

# Read, and keep the tag of what was read.
TAG=$(curl -s -o /dev/null -w '%header{etag}' "$ENGINE")
echo "$TAG"

# Write if it is still that.
curl -s -w '%{http_code}\n' -X PATCH "$ENGINE" -H "$AUTH" -H "If-Match: $TAG" \
  --json '{"revision": 1}'

# It has changed since, by this very write; so the tag is out of date.
curl -s -w '\n%{http_code}\n' -X PATCH "$ENGINE" -H "$AUTH" -H "If-Match: $TAG" \
  --json '{"revision": 2}'
curl -s -o /dev/null -w '%{http_code}\n' -X DELETE "$ENGINE" -H "$AUTH" -H "If-Match: $TAG"

# Whatever it is now, as long as it is there.
curl -s -w '%{http_code}\n' -X PATCH "$ENGINE" -H "$AUTH" -H 'If-Match: *' \
  --json '{"revision": 2}'

# Make a document, but don't replace one.
for attempt in first second; do
  curl -s -o /dev/null -w "$attempt: %{http_code}\n" -X PUT "$API/api/rocket_engines/mine" \
    -H "$AUTH" -H 'If-None-Match: *' --json '{"name": "Mine"}'
done
