API=${API:-http://127.0.0.1:8000}

curl -s -o /dev/null "$API/products/" --json '[
  {"name": "Rake", "price": "19.90"},
  {"name": "Rake for leaves", "price": "24.00"},
  {"name": "Brakes", "price": "12.50"}
]'

curl -s "$API/products/?price__between=10,20&_fields=name,price"
echo
curl -s "$API/products/?name__word=rake&_fields=name"
echo
curl -s "$API/products/?name__not__word=rake&_fields=name"
echo
curl -s "$API/products/?price__between=10"
echo
