API=${API:-http://127.0.0.1:8000}
VEHICLES="$API/api/launch_vehicles?_projection=name&_sort=(country:ascending),(_id:ascending)"

# Two pages by number.
curl -s "$VEHICLES&_limit=3"
echo
curl -s "$VEHICLES&_limit=3&_skip=3"
echo
