"""Read a long list line by line, and notice when it breaks off."""

import json
import sys
import urllib.request

request = urllib.request.Request(sys.argv[1], headers={"Accept": "application/x-ndjson"})
with urllib.request.urlopen(request) as answer:
    for line in answer:
        document = json.loads(line)
        if document.keys() == {"error"}:
            sys.exit(f"The list broke off: {document['error']['detail']}")
        print(document["name"])
