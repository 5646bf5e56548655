"""RunPod's SDK, with nothing but another base URL and a key. It reads both when it is imported."""

import base64
import os

os.environ["RUNPOD_ENDPOINT_BASE_URL"] = os.environ["API_URL"] + "/runpod/v2"

import runpod  # noqa: E402

runpod.api_key = os.environ["API_KEY"]
endpoint = runpod.Endpoint("sd15")


def are_png(output, count):
    images = output["images"]
    assert len(images) == count, output
    for image in images:
        assert image["type"] == "base64" and base64.b64decode(image["data"]).startswith(b"\x89PNG"), output


job = endpoint.run({"input": {"prompt": "a lighthouse", "num_images": 2}, "policy": {"executionTimeout": 60000}})
assert job.status() in ("IN_QUEUE", "IN_PROGRESS", "COMPLETED")
are_png(job.output(timeout=60), 2)
assert job.status() == "COMPLETED"

graph = {
    "3": {"class_type": "KSampler", "inputs": {"seed": 5}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["3", 0]}},
}
are_png(endpoint.run_sync({"input": {"workflow": graph}}, timeout=60), 1)

graph["1"] = {"class_type": "LoadImage", "inputs": {"image": "cat.png"}}
picture = job.output()["images"][0]["data"]
order = {"workflow": graph, "images": [{"name": "cat.png", "image": picture}]}
are_png(endpoint.run_sync({"input": order}, timeout=60), 1)

chunks = list(endpoint.run({"prompt": "a cat", "num_images": 3}).stream())
assert len(chunks) == 3, chunks
for chunk in chunks:
    are_png(chunk, 1)

failed = endpoint.run({"prompt": "fail"})
assert failed.output(timeout=60) is None and failed.status() == "FAILED"

cancelled = endpoint.run({"prompt": "a cat"})
assert cancelled.cancel() == {"id": cancelled.job_id, "status": "CANCELLED"}
assert cancelled.status() == "CANCELLED"
assert list(cancelled.stream()) == []

health = endpoint.health()
assert health["jobs"]["completed"] >= 3 and health["workers"] == {"idle": 0, "running": 0, "initializing": 0}, health
assert endpoint.purge_queue()["status"] == "completed"

try:
    runpod.Endpoint("sd15", api_key="ij_unknown").health()
    raise AssertionError("an unknown key was taken")
except RuntimeError as refused:
    assert "401" in str(refused), refused
