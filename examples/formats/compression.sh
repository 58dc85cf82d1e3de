API=${API:-http://127.0.0.1:8000}

curl -s -o /dev/null -D - -H 'Accept-Encoding: gzip' "$API/api/rocket_engines" |
  grep -i '^content-encoding\|^vary' | sort
