API=${API:-http://127.0.0.1:8000}

curl -s -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/x-ndjson' \
    --data-binary @- "$API/api/rocket_engines" <<'LINES' | python3 -m json.tool
{"_id": "prometheus", "name": "Prometheus", "country": "France"}
{"_id": "prometheus", "name": "Prometheus again"}
{"_id": "p120", "name": "P120", "burn_time": 1_30}

{"_id": "p80", "name": "P80", "first_flight": {"$date": "2012-02-13T00:00:00Z"}}
LINES
