API=${API:-http://127.0.0.1:8000}
VEHICLES="$API/api/launch_vehicles?_projection=name&_sort=(country:ascending)&_limit=3"

# The first page, by cursor whatever indexes there are, and the last one.
curl -sg -D - "$VEHICLES&_after=" | tr -d '\r' | grep -i -e '^link:' -e '^\['
curl -sg "$VEHICLES&_before="
echo
