API=${API:-http://127.0.0.1:8000}

# An order and its lines.
ORDER=$(curl -s "$API/orders/" --json '{
  "customer": "Ada", "lines": [{"product": "paper", "pieces": 10}, {"product": "ink", "pieces": 1}]
}')
echo "$ORDER"
URL=$API/orders/$(echo "$ORDER" | cut -d '"' -f 4)
PAPER=$(echo "$ORDER" | cut -d '"' -f 14)

# One line is changed, one is new, and the ink is dropped from the order.
curl -s -X PATCH "$URL" --json '{
  "lines": [{"id": "'"$PAPER"'", "pieces": 12}, {"product": "pens", "pieces": 3}]
}'
echo

# One wrong line, and nothing is written.
curl -s -X PATCH "$URL" --json '{
  "customer": "Bob", "lines": ["'"$PAPER"'", {"product": "ink", "pieces": 0}]
}'
echo
curl -s "$URL"
echo
