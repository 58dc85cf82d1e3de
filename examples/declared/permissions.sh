API=${API:-http://127.0.0.1:8000}
ADA='Authorization: Token token-of-ada'
BOB='Authorization: Token token-of-bob'

# Ada writes a public note and a private one.
PUBLIC=$(curl -s "$API/notes/" -H "$ADA" --json '{"text": "Open at nine.", "public": true}')
echo "$PUBLIC"
PUBLIC=$API/notes/$(echo "$PUBLIC" | cut -d '"' -f 4)
PRIVATE=$(curl -s "$API/notes/" -H "$ADA" --json '{"text": "Buy milk."}')
PRIVATE=$API/notes/$(echo "$PRIVATE" | cut -d '"' -f 4)

# Bob reads the public one. He may not change it. The other one isn't there for him.
curl -s "$API/notes/" -H "$BOB"
echo
curl -s -X PATCH "$PUBLIC" -H "$BOB" --json '{"text": "Open at ten."}'
echo
curl -s -X DELETE "$PRIVATE" -H "$BOB"
echo

# A bulk write asks for each document before anything is written.
curl -s -o /dev/null "$API/notes/" -H "$BOB" --json '{"text": "Closed today.", "public": true}'
curl -s -X DELETE "$API/notes/?public=true" -H "$BOB"
echo
curl -s -X DELETE "$API/notes/?writer=bob" -H "$BOB"
echo

# Nobody is known.
curl -s "$API/notes/"
echo
