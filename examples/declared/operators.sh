API=${API:-http://127.0.0.1:8000}

curl -s -o /dev/null "$API/products/" --json '[
  {"name": "Rake", "price": "19.90", "tags": ["Garden"]},
  {"name": "Spade", "price": "24.00", "tags": ["garden", "new"]},
  {"name": "Lamp", "price": "12.50", "tags": ["home"]}
]'

curl -s "$API/products/?price__between=10,20&_fields=name,price"
echo
curl -s "$API/products/?tags__word=garden&_fields=name"
echo
curl -s "$API/products/?tags__not__word=garden&_fields=name"
echo
curl -s "$API/products/?price__between=10"
echo
