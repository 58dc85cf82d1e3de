API=${API:-http://127.0.0.1:8000}

curl -s "$API/v1/openapi.json" | python3 -c '
import json, sys
document = json.load(sys.stdin)
print(document["openapi"], document["info"])
print(json.dumps(document["components"]["schemas"]["NewBook"], indent=1))
for one in document["paths"]["/v1/books"]["get"]["parameters"]:
    print(one["name"], json.dumps(one["schema"]))'

# The page to try it.
curl -s "$API/v1/docs" | grep '<title>'
