API=${API:-http://127.0.0.1:8000}

curl -gs "$API/api/rocket_engines?burn_time=gte[int].long" | python3 -m json.tool
