API=${API:-http://127.0.0.1:8000}
NOTES="$API/api/notes"
ADA="Authorization: Bearer $ADA"
BOB="Authorization: Bearer $BOB"
ROOT="Authorization: Bearer $ROOT"

# A note gets its owner when it is made.
curl -s "$NOTES" -H "$ADA" --json '{"_id": "a", "text": "Buy kerosene."}'
echo
curl -s "$NOTES" -H "$BOB" --json '{"_id": "b", "text": "Call Ada."}'
echo
curl -s "$NOTES" -H "$ADA"
echo

# The other one isn't there: not in a list, not by its id, not for a bulk write.
curl -s "$NOTES/b" -H "$ADA"
echo
curl -gs -X DELETE "$NOTES?text=exists[bool].true" -H "$ADA"
echo

# Nobody makes notes in the name of somebody else.
curl -s "$NOTES" -H "$ADA" --json '{"text": "I was wrong.", "created_by": "bob"}'
echo

# An admin sees all of them. Without a login there is nothing to see.
curl -s "$NOTES" -H "$ROOT"
echo
curl -s "$NOTES"
echo
