API=${API:-http://127.0.0.1:8000}
TOKEN=$(
  curl -s "$API/login" --json '{"username": "ada", "password": "correct horse"}' |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])'
)

# Two documents at once. {"$date": …} is how a date travels in JSON.
curl -s "$API/api/firings" -H "Authorization: Bearer $TOKEN" --json '[
  {"_id": 1, "engine": "Vinci", "seconds": 655, "at": {"$date": "2015-03-10T09:00:00Z"}},
  {"_id": 2, "engine": "Vinci", "seconds": 800, "at": {"$date": "2016-05-12T14:30:00Z"}}
]'
echo

# The firings since 2016.
curl -gs "$API/api/firings?at=gte[date].2016-01-01"
echo

# An _id that is a number is written with a type hint.
curl -gs "$API/api/firings/[int].1?_projection=seconds"
echo
