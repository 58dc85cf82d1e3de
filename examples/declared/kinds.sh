API=${API:-http://127.0.0.1:8000}

# The discriminator says by which schema a body is validated.
curl -s "$API/media/" --json '[
  {"kind": "photo", "title": "Harbour", "width": 4000, "height": 3000},
  {"kind": "video", "title": "Harbour at night", "seconds": 31.5}
]'
echo
curl -s "$API/media/" --json '{"kind": "photo", "title": "Harbour", "seconds": 3}'
echo
curl -s "$API/media/" --json '{"kind": "sculpture", "title": "Harbour"}'
echo

# Filters may name the fields of any kind.
curl -s "$API/media/?seconds__lt=60"
echo
