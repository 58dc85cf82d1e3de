API=${API:-http://127.0.0.1:8000}

curl -s "$API/register" --json '{"username": "ada", "password": "correct horse"}'
echo
curl -s "$API/register" --json '{"username": "ada", "password": "battery staple"}'
echo
