"""Stores a document once, whatever happens to the connection."""

import json
import os
import time
import urllib.error
import urllib.request
import uuid

API = os.environ.get("API", "http://127.0.0.1:8000")
TOKEN = os.environ["TOKEN"]


def send(method, path, body, attempts=8):
    """Send a write until its outcome is known."""
    headers = {
        "Authorization": f"Bearer {TOKEN}",
        "Content-Type": "application/json",
        # One key for all attempts, and another one for the next write.
        "Idempotency-Key": f'"{uuid.uuid4()}"',
    }
    data = json.dumps(body).encode()
    request = urllib.request.Request(API + path, data, headers, method=method)
    for attempt in range(attempts):
        if attempt:
            time.sleep(2**attempt / 4)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return json.loads(response.read() or "null")
        except urllib.error.HTTPError as error:
            code = json.load(error)["code"]
            # What else is refused would be refused again.
            if error.code != 503 and code not in ("idempotency.running", "write.conflict"):
                raise
        except OSError:
            pass  # No answer came. It may have been done or not.
    raise TimeoutError(f"{method} {path}: the outcome is unknown")


if __name__ == "__main__":
    print(send("POST", "/api/rocket_engines", {"name": "Archimedes"}))
    print(send("PATCH", "/api/rocket_engines?name=Archimedes", {"$inc": {"tests": 1}}))
