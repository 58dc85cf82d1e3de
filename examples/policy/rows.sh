API=${API:-http://127.0.0.1:8000}
ROCKETS="$API/api/rockets"
ADA="Authorization: Bearer $ADA"
BOB="Authorization: Bearer $BOB"

# Nobody is logged in.
curl -s -X DELETE "$ROCKETS/merlin"
echo

# Bob is, and has no role that may write.
curl -s -X DELETE "$ROCKETS/merlin" -H "$BOB"
echo

# Ada is an editor. What stands outside of her rows isn't there for her.
curl -s "$ROCKETS?_projection=name" -H "$ADA"
echo
curl -s "$ROCKETS/le-9" -H "$ADA"
echo

# Nor can she leave anything there.
curl -s -X PATCH "$ROCKETS/merlin" -H "$ADA" --json '{"country": "JP"}'
echo
curl -s "$ROCKETS" -H "$ADA" --json '{"_id": "le-7", "country": "JP"}'
echo

# The filter of a bulk write is narrowed in the same way: two of three.
curl -gs -X PATCH "$ROCKETS?name=exists[bool].true" -H "$ADA" --json '{"$set": {"checked": true}}'
echo
