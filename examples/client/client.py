"""A client in plain Python: logs in, inserts, pages, updates.

python client.py http://127.0.0.1:8000 ada, with the password in the environment as PASSWORD
"""

import json
import os
import re
import sys
from urllib.error import HTTPError
from urllib.parse import urlencode, urljoin
from urllib.request import Request, urlopen


class Client:
    def __init__(self, url):
        self._url = url
        self._headers = {"Content-Type": "application/json"}

    def call(self, method, path, body=None):
        """Send a request; return the answer and its headers."""
        data = None if body is None else json.dumps(body).encode()
        url = urljoin(self._url, path)
        request = Request(url, data=data, headers=self._headers, method=method)
        with urlopen(request) as response:
            text = response.read()
            return (json.loads(text) if text else None), response.headers

    def log_in(self, username, password):
        answer, _ = self.call("POST", "/login", {"username": username, "password": password})
        self._headers["Authorization"] = f"Bearer {answer['access_token']}"

    def pages(self, path, **parameters):
        """Follow the links from page to page; yield each page."""
        following = f"{path}?{urlencode(parameters)}"
        while following:
            documents, headers = self.call("GET", following)
            yield documents
            link = re.search(r'<([^>]*)>; rel="next"', headers.get("Link", ""))
            following = link and link[1]


def main(url, username):
    client = Client(url)
    client.log_in(username, os.environ["PASSWORD"])

    created, headers = client.call(
        "POST", "/api/rocket_engines", {"name": "Aeon 1", "country": "USA", "burn_time": 300}
    )
    print("inserted:", headers["Location"] == f"/api/rocket_engines/{created['_id']['$oid']}")

    parameters = {"country": "USA", "_sort": "(name:ascending)", "_projection": "name"}
    for number, page in enumerate(client.pages("/api/rocket_engines", **parameters), start=1):
        print(f"page {number}:", ", ".join(document["name"] for document in page))

    client.call("PATCH", headers["Location"], {"burn_time": 310})
    updated, _ = client.call("GET", headers["Location"])
    print("updated:", updated["burn_time"])

    try:
        client.call("PATCH", "/api/rocket_engines?burn_time=lots", {"burn_time": 310})
    except HTTPError as error:
        problem = json.load(error)
        print("refused:", problem["code"], "-", problem["detail"])

    client.call("DELETE", headers["Location"])


if __name__ == "__main__":
    main(*sys.argv[1:])
