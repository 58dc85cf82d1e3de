API=${API:-http://127.0.0.1:8000}

# The links of the first page, and of the one behind it.
links() { curl -sg -o /dev/null -D - "$API$1" | grep -i '^link:' | tr -d '\r' | sed 's/, </,\n  </g'; }
links '/api/launch_vehicles?country=USA&_sort=(name:ascending)&_projection=country'
NEXT=$(links '/api/launch_vehicles?country=USA&_sort=(name:ascending)&_projection=country' |
  sed -n 's/.*<\([^>]*\)>; rel="next".*/\1/p')
links "$NEXT"
curl -s "$API$NEXT"
echo
