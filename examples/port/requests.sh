API=${API:-http://127.0.0.1:8000}
KEY=$(python3 -c 'import app; print(app.make_api_key("ada"))')

# Users are behind a key.
curl -s "$API/users/" --json '{"email": "ada@example.com"}'
echo
USER_ID=$(curl -s "$API/users/" -u "$KEY:" --json '{"email": "ada@example.com"}' | cut -d '"' -f 4)

# Create a Post:
curl -s "$API/posts/" -H "Content-Type: application/json" -X POST -d \
'{"title": "First post!", "author_id": "'"$USER_ID"'", "content": {"text": "this is our test post content"}}'
echo

# List all Posts, or filter by the title:
curl -s "$API/posts/"
echo
curl -s "$API/posts/?title=First%20post!"
echo
curl -s "$API/posts/?title__startswith=First"
echo
curl -s "$API/posts/?title__startswith=Second"
echo

# Get a Post:
POST_ID=$(curl -s "$API/posts/?_fields=id" | cut -d '"' -f 6)
curl -s "$API/posts/$POST_ID/"
echo

# Delete a Post:
curl -s -X DELETE "$API/posts/$POST_ID/"
echo
# Fails since PostView.methods does not allow Delete
