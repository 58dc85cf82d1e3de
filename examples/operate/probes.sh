API=${API:-http://127.0.0.1:8000}

curl -s -w ' %{http_code}\n' "$API/health/live"
curl -s -w ' %{http_code}\n' "$API/health/ready"

curl -s -o /dev/null "$API/api/rocket_engines/6195b0eb829a2784b4459a01"
curl -s -o /dev/null "$API/api/rocket_engines/nothing"
curl -s "$API/metrics" | grep '^falcorest_requests_total.*/api/'
