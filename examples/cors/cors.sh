API=${API:-http://127.0.0.1:8000}

curl -s -o /dev/null -D - -X OPTIONS "$API/api/rocket_engines" \
    -H 'Origin: https://app.example.com' \
    -H 'Access-Control-Request-Method: PATCH' | grep -i '^access-control-\|^vary' | sort
