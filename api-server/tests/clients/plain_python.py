"""The own API with nothing but Python's standard library, which calls every body a form."""

import json
import os
import urllib.error
import urllib.request

URL, KEY = os.environ["API_URL"], os.environ["API_KEY"]


def call(path, body=None, headers=()):
    request = urllib.request.Request(URL + path, data=None if body is None else json.dumps(body).encode())
    for name, value in [("Authorization", "Bearer " + KEY), *headers]:
        request.add_header(name, value)
    return urllib.request.urlopen(request, timeout=60)


order = {"work": {"textToImage": {"model": "sd15.safetensors", "prompt": "a lighthouse"}}, "count": 2}
with call("/v1/jobs", order, [("Prefer", "wait=30"), ("Idempotency-Key", "order-1")]) as answer:
    assert answer.status == 201, answer.status
    job = json.load(answer)
assert job["state"] == "completed", job
assert [result["index"] for result in job["results"]] == [0, 1], job

with call("/v1/jobs", order, [("Idempotency-Key", "order-1")]) as answer:
    assert answer.status == 200 and json.load(answer)["id"] == job["id"]

with call(f"/v1/jobs/{job['id']}/results/1/0") as answer:
    assert answer.headers["Content-Type"] == "image/png" and answer.read().startswith(b"\x89PNG")

slow = {"work": {"textToImage": {"model": "sd15.safetensors", "prompt": "a cat"}}}
with call("/v1/jobs", slow) as answer:
    watched = json.load(answer)
with call(f"/v1/jobs/{watched['id']}/events") as stream:
    frames = [json.loads(line[6:]) for line in stream if line.startswith(b"data: ")]
assert frames[-1]["job"]["state"] == "completed" and frames[-1]["progress"] == 1, frames

try:
    call("/v1/jobs", {"work": {"textToImage": {"model": "sd15.safetensors", "prompt": "a cat", "width": 100}}})
    raise AssertionError("a width of 100 was taken")
except urllib.error.HTTPError as refused:
    problem = json.load(refused)
    assert refused.code == 422 and problem["errors"][0]["pointer"] == "/work/textToImage/width", problem
