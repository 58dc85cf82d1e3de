API=${API:-http://127.0.0.1:8000}

# The header of a page that isn't the last.
curl -s -o /dev/null -D - "$API/api/launch_vehicles?country=USA" | grep -i '^link:'
