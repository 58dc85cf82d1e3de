"""Counts up a field, whoever else does so at the same time.

python editing.py http://127.0.0.1:8000/api/rocket_engines/demo, with a token as TOKEN
"""

import json
import os
import sys
from threading import Thread
from urllib.error import HTTPError
from urllib.request import Request, urlopen


def call(method, url, body=None, **headers):
    """Send a request; return the answer and its tag."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    sent |= {"Content-Type": "application/json", "Authorization": f"Bearer {os.environ['TOKEN']}"}
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, data=data, headers=sent, method=method)) as response:
        text = response.read()
        return (json.loads(text) if text else None), response.headers["ETag"]


def edit(url, change):
    """Read a document, change it, and write it; again, if it isn't any more what was read."""
    while True:
        document, tag = call("GET", url)
        try:
            return call("PATCH", url, change(document), If_Match=tag)
        except HTTPError as error:
            if error.code != 412:
                raise


def count_up(document):
    return {"count": document["count"] + 1}


if __name__ == "__main__":
    url = sys.argv[1]
    call("PUT", url, {"count": 0}, If_None_Match="*")
    threads = [Thread(target=edit, args=(url, count_up)) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(call("GET", url)[0])
