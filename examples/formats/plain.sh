API=${API:-http://127.0.0.1:8000}

curl -gs "$API/api/rocket_engines?name=Vinci&_projection=name,first_flight"
echo
