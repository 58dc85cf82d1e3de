API=${API:-http://127.0.0.1:8000}

curl -gs "$API/api/rocket_engines?country=USA&burn_time=gt[int].300&_sort=(name:ascending)" |
    python3 -m json.tool
