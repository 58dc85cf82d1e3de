API=${API:-http://127.0.0.1:8000}

# How many there are, beside a page, and without one.
curl -s -D - "$API/api/launch_vehicles?country=USA&_projection=name&_limit=1&_count=exact" |
  tr -d '\r' | grep -i -e '^x-total' -e '^\['
curl -s -I "$API/api/launch_vehicles?_count=estimated" | tr -d '\r' | grep -i '^x-total'
