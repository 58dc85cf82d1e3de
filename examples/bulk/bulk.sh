API=${API:-http://127.0.0.1:8000}
ROCKETS="$API/api/rocket_engines"
AUTH="Authorization: Bearer $TOKEN"

# Look first: the filter of a read is the filter of the write.
curl -s "$ROCKETS?manufacturer=Rocketdyne&_projection=name"
echo

# The body is made of update operators.
curl -s -X PATCH "$ROCKETS?manufacturer=Rocketdyne" -H "$AUTH" \
  --json '{"$set": {"manufacturer": "Aerojet Rocketdyne"}, "$inc": {"revision": 1}}'
echo

# Several conditions narrow it further.
curl -gs -X DELETE "$ROCKETS?country=Soviet+Union&thrust_kn=lt[int].1637" -H "$AUTH"
echo

# No filter: refused, and nothing is touched. _limit is no filter.
curl -s -X DELETE "$ROCKETS?_limit=1" -H "$AUTH"
echo
