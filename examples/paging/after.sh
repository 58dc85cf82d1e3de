API=${API:-http://127.0.0.1:8000}
VEHICLES="$API/api/launch_vehicles?_projection=name&_sort=(_id:ascending)&_limit=3"

# The first page, then what comes after its last _id.
curl -s "$VEHICLES"
echo
curl -gs "$VEHICLES&_id=gt[oid].61a30c07032f56ecef3c8403"
echo
