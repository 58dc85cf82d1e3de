API=${API:-http://127.0.0.1:8000}
INDIAN='country=India&_projection=name,burn_time,propellant&_sort=(name:ascending)'

# One document a line.
curl -gs -H 'Accept: application/x-ndjson' "$API/api/rocket_engines?$INDIAN"

# A table.
curl -gs -H 'Accept: text/csv' "$API/api/rocket_engines?$INDIAN"

# Something that is not served.
curl -gs -H 'Accept: text/html' "$API/api/rocket_engines" | python3 -m json.tool
