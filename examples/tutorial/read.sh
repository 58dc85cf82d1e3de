API=${API:-http://127.0.0.1:8000}

# The engines from France; names and burn times only.
curl -s "$API/api/rocket_engines?country=France&_projection=name,burn_time"
echo

# The three with the most thrust.
curl -s "$API/api/rocket_engines?_sort=(thrust_kn:descending)&_limit=3&_projection=name,thrust_kn"
echo

# Numbers need a type hint, because a URL holds nothing but text. -g lets curl send brackets.
curl -gs "$API/api/rocket_engines?thrust_to_weight_ratio=gte[int].140&_projection=name"
echo

# One document, by its _id.
curl -s "$API/api/rocket_engines/6195b0eb829a2784b4459a11"
echo
