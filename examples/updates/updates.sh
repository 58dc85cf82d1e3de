API=${API:-http://127.0.0.1:8000}

update() {
  curl -s -X PATCH "$API/api/rocket_engines/demo" -H "Authorization: Bearer $TOKEN" --json "$1"
}

# A document to change; PUT makes it where there is none.
curl -s -X PUT "$API/api/rocket_engines/demo" -H "Authorization: Bearer $TOKEN" \
  --json '{"name": "Demo", "thrust": {"kn": 100}, "tests": 4, "best": 60, "worst": 60}'
echo

# Plain fields are set; a dotted path leads into an object.
update '{"name": "Demo 2", "thrust.kn": 110}'

# Operators, several at once on different fields.
update '{"$set": {"thrust.unit": "kN"}, "$unset": {"name": true}, "$inc": {"tests": 1}}'
update '{"$mul": {"tests": 2}, "$min": {"worst": 30}, "$max": {"best": 90}}'
update '{"$rename": {"best": "longest"}, "$currentDate": {"changed": true}}'
update '{"$push": {"runs": 7}}'
update '{"$push": {"runs": {"$each": [9, 8, 1], "$sort": -1, "$slice": 3}}}'
update '{"$addToSet": {"sites": {"$each": ["McGregor", "Lampoldshausen", "McGregor"]}}}'
update '{"$pull": {"runs": {"$gte": 9}}}'
update '{"$pop": {"runs": -1}, "$pullAll": {"sites": ["McGregor"]}}'

curl -s "$API/api/rocket_engines/demo?_projection=thrust,tests,worst,longest,runs,sites"
echo
