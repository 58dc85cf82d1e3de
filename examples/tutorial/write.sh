API=${API:-http://127.0.0.1:8000}

# Log in. The answer is {"access_token": "…"}; the token is good for an hour.
TOKEN=$(
  curl -s "$API/login" --json '{"username": "ada", "password": "correct horse"}' |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])'
)

# A new document. Without an _id of its own it would get an ObjectId.
curl -s "$API/api/rocket_engines" -H "Authorization: Bearer $TOKEN" \
  --json '{"_id": "aeon-1", "name": "Aeon 1", "country": "USA", "burn_time": 300}'
echo

# Change one field of it; 204 means done.
curl -s -X PATCH "$API/api/rocket_engines/aeon-1" -H "Authorization: Bearer $TOKEN" \
  --json '{"burn_time": 310}' -w '%{http_code}\n'

# Read it back, then remove it.
curl -s "$API/api/rocket_engines/aeon-1"
echo
curl -s -X DELETE "$API/api/rocket_engines/aeon-1" -H "Authorization: Bearer $TOKEN" \
  -w '%{http_code}\n'

# Without a token, a write is refused.
curl -s "$API/api/rocket_engines" --json '{"name": "Aeon R"}'
echo
