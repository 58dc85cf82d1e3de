API=${API:-http://127.0.0.1:8000}
ROCKETS="$API/api/rockets"
ADA="Authorization: Bearer $ADA"

# What it costs isn't shown, nor is the supplier's contact.
curl -s "$ROCKETS/vinci"
echo

# A filter or an order would tell it. So would one by what it is a part of.
curl -gs "$ROCKETS?cost=lt[int].10"
echo
curl -s "$ROCKETS?_sort=(supplier:ascending)"
echo

# Asked for the whole supplier, the server shows what may be seen of it.
curl -s "$ROCKETS/vinci?_projection=supplier"
echo

# Ada reads, changes the name, and sends all of it back. What she doesn't see is kept.
curl -s "$ROCKETS/vinci" | sed 's/"Vinci"/"Vinci 180"/' |
  curl -s -o /dev/null -w '%{http_code}\n' -X PUT "$ROCKETS/vinci" -H "$ADA" --json @-

# "approved" came back as it was. Anything else in its place is refused.
curl -s -X PATCH "$ROCKETS/vinci" -H "$ADA" --json '{"approved": true}'
echo

# So is a supplier that is no object any more: the contact would be gone.
curl -s -X PATCH "$ROCKETS/vinci" -H "$ADA" --json '{"supplier": "ArianeGroup"}'
echo
