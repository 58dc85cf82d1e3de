API=${API:-http://127.0.0.1:8000}

# The key itself is all that createkey prints, and it is shown this once.
KEY=$(falcorest createkey robot --role editor)

curl -s "$API/me" -H "X-API-Key: $KEY"
echo

# Its ID, when it was made, for whom.
KEYS=$(falcorest keys)
echo "$KEYS"

falcorest deletekey "${KEYS%% *}"

curl -s "$API/me" -H "X-API-Key: $KEY"
echo
