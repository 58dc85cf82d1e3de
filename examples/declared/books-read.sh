API=${API:-http://127.0.0.1:8000}

# All books, the newest first.
curl -s "$API/books/?_order_by=-year"
echo

# Those before 1965; the titles only.
curl -s "$API/books/?year__lt=1965&_fields=title"
echo

# A filter that isn't declared is refused, and so nobody reads the whole library by a typo.
curl -s "$API/books/?yaer__lt=1965"
echo

# Change one book, then all of an author.
ID=$(curl -s "$API/books/?title=Dune&_fields=id" | cut -d '"' -f 6)
curl -s -X PATCH "$API/books/$ID" --json '{"lent": true}'
echo
curl -s -X PATCH "$API/books/?author=Frank+Herbert" --json '{"lent": false}'
echo

# There is no Delete in the view's methods.
curl -s -o /dev/null -w '%{http_code}\n' -X DELETE "$API/books/$ID"
