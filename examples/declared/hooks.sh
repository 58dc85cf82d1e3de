API=${API:-http://127.0.0.1:8000}

PAGE=$(curl -s "$API/pages/" --json '{"title": "First steps", "text": "Put one foot forward."}')
echo "$PAGE"
URL=$API/pages/$(echo "$PAGE" | cut -d '"' -f 4)

curl -s -X PATCH "$URL" --json '{"title": "The first steps"}'
echo
curl -s -X PATCH "$URL" --json '{"title": "?"}'
echo
curl -s "$API/pages/"
echo
curl -s -X DELETE "$URL"
curl -s "$API/pages/"
echo
