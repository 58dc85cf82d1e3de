API=${API:-http://127.0.0.1:8000}

# Everything that is wrong is named at once, by the names that clients know.
curl -s "$API/members/" --json '{
  "email": "ada", "birthday": "1815-13-10", "nick": "Al", "pin": "12", "address": {"city": "London"}
}'
echo

MEMBER=$(curl -s "$API/members/" --json '{
  "email": "ada@example.com", "fullName": "Ada Lovelace", "birthday": "1815-12-10", "fee": "12.50",
  "pin": "1815", "address": {"street": "St James Square", "city": "London"}
}')
echo "$MEMBER"
URL=$API/members/$(echo "$MEMBER" | cut -d '"' -f 4)

# PATCH changes the fields that it names. A nested object is replaced, so it has to be whole.
curl -s -X PATCH "$URL" --json '{"level": "gold"}'
echo
curl -s -X PATCH "$URL" --json '{"address": {"city": "Ockham"}}'
echo

# What was read can be sent back, the id included.
curl -s -X PATCH "$URL" --json "$(curl -s "$URL")"
echo

# PUT is Replace here: what the body lacks is gone.
curl -s -X PUT "$URL" --json '{"email": "ada@example.com", "fullName": "Ada Lovelace"}'
echo
