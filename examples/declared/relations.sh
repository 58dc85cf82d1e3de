API=${API:-http://127.0.0.1:8000}
ADA=$(curl -s "$API/authors/" --json '{"name": "Ada"}' | cut -d '"' -f 4)
BOB=$(curl -s "$API/authors/" --json '{"name": "Bob"}' | cut -d '"' -f 4)

# In a body, a reference is an id.
ARTICLE=$(curl -s "$API/articles/" --json '{
  "title": "Notes on the engine", "author": "'"$ADA"'", "editors": ["'"$BOB"'"],
  "sources": [{"title": "Sketch of the analytical engine", "year": 1842}]
}')
echo "$ARTICLE"
ID=$(echo "$ARTICLE" | cut -d '"' -f 4)

curl -s -o /dev/null "$API/comments/" --json '{"text": "A classic.", "article": "'"$ID"'"}'
curl -s "$API/articles/?author=$ADA&_fields=title,comments"
echo

# What was read can be sent back: an object with an id, and a URL, are references too.
curl -s -X PATCH "$API/articles/$ID" --json "$(curl -s "$API/articles/$ID?_fields=author,editors")"
echo
