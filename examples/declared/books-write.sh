API=${API:-http://127.0.0.1:8000}

# The application's own route goes on as before.
curl -s "$API/hello"
echo

# Two books.
curl -s "$API/books/" --json '{"title": "Solaris", "author": "Stanisław Lem", "year": 1961}'
echo
curl -s "$API/books/" --json '{"title": "Dune", "author": "Frank Herbert", "year": 1965}'
echo

# What doesn't fit the schema is refused.
curl -s "$API/books/" --json '{"title": "", "pages": 204}'
echo
