"""Comfy's own SDK against its API v2, synchronous and asynchronous."""

import asyncio
import io
import json
import os
import tempfile
import time
import urllib.request
import uuid

URL, KEY, OTHER_KEY = os.environ["API_URL"], os.environ["API_KEY"], os.environ["OTHER_KEY"]
os.environ["COMFY_BASE_URL"] = URL

import comfy_sdk  # noqa: E402
from comfy_low import ApiError  # noqa: E402
from comfy_sdk import AsyncComfy, Comfy  # noqa: E402
from comfy_sdk.events import OutputReady, Progress, StatusChange  # noqa: E402

PNG = b"\x89PNG"


def graph(text="a lighthouse", **sampler):
    return {
        "3": {"class_type": "KSampler", "inputs": {"seed": 7, "positive": ["6", 0], **sampler}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": text}},
        "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "cat", "images": ["3", 0]}},
    }


def refused(error, code, call):
    try:
        call()
    except error as refusal:
        assert refusal.code == code, (refusal.code, code)
        assert refusal.request_id, "refusals have the request's id"
        return refusal
    raise AssertionError(f"{code}: nothing was refused")


def loading(asset):
    return {**graph(), "1": {"class_type": "LoadImage", "inputs": {"image": asset}}}


def workflow(client, *args, **more):
    return client.workflows.from_json(graph(*args, **more))


with Comfy(api_key=KEY) as client:
    # run: submit and poll to the end, then download.
    job = client.run(workflow(client), timeout=60)
    assert job.status == "succeeded" and job.error is None
    [output] = job.get_outputs("9")
    assert (output.type, output.content_type, output.job_id) == ("image", "image/png", job.id)
    content = output.to_bytes()
    assert content.startswith(PNG) and len(content) == output.size_bytes
    assert output.to_bytes(range=(0, 3)) == PNG
    with tempfile.TemporaryDirectory() as folder:
        assert output.to_file(os.path.join(folder, "a.png")).read_bytes() == content
    # The URL needs no key.
    with urllib.request.urlopen(output.get_download_url().url) as answer:
        assert answer.read() == content
    asset = client._low.get_asset(output.id)
    assert (asset.id, asset.size_bytes, asset.job_id) == (output.id, len(content), job.id), asset
    told = job.get_workflow()
    assert (told.format, told.graph) == ("api", graph()), told

    # submit with labels, and watch.
    submitted = client.submit(workflow(client), metadata={"client": "acme", "n": "1"})
    assert submitted.metadata == {"client": "acme", "n": "1"}
    events = list(submitted.events())
    states = [event.status for event in events if isinstance(event, StatusChange)]
    assert states[-1] == "succeeded" and isinstance(events[-1], StatusChange), events
    outputs = [event.output for event in events if isinstance(event, OutputReady)]
    assert [output.node_id for output in outputs] == ["9"] and outputs[0].to_bytes() == content
    values = [event.value for event in events if isinstance(event, Progress)]
    assert values == sorted(values)
    again = client.jobs.get(submitted.id)
    assert again.status == "succeeded" and [output.id for output in again.outputs] == [outputs[0].id]
    # Who comes when all is over is told the same.
    late = list(again.events())
    assert [type(event) for event in late] == [OutputReady, StatusChange], late

    # Lists, in parts and by labels.
    for n in range(2, 5):
        client.submit(workflow(client), metadata={"client": "acme", "n": str(n)})
    deadline = time.monotonic() + 30
    while len(found := list(client.list_jobs(metadata={"client": "acme"}, limit=2))) < 4:
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    assert len({job.id for job in found}) == 4
    times = [job.create_time for job in found]
    assert times == sorted(times, reverse=True) and all(job.update_time >= job.create_time for job in found)
    [third] = client.list_jobs(metadata={"client": "acme", "n": "3"})
    assert third.metadata == {"client": "acme", "n": "3"}
    assert list(client.list_jobs(metadata={"client": "nobody"})) == []
    assert len(list(client.list_jobs())) == 5

    # A job that fails.
    try:
        client.run(workflow(client, "fail"), timeout=60)
        raise AssertionError("it did not fail")
    except comfy_sdk.JobFailed as failed:
        assert (failed.error.node_id, failed.error.class_type) == ("3", "KSampler"), failed.error
        assert failed.error.message and failed.error.code, failed.error

    # A job that is cancelled.
    cancelled = client.submit(workflow(client, "slow"))
    assert cancelled.cancel().status in ("canceling", "canceled")
    assert cancelled.wait(timeout=60).status == "canceled"
    assert cancelled.cancel().status == "canceled"
    assert job.cancel().status == "succeeded", "a finished job stays as it is"

    # A file is handed in, once, and a job starts from it.
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "photo.png")
        with open(path, "wb") as file:
            file.write(content)
        photo = client.assets.from_file(path)
        started = client.run(client.workflows.from_json(loading(photo)), timeout=60)
        assert started.status == "succeeded" and photo.created_new is True
        told = started.get_workflow().graph["1"]["inputs"]["image"]
        assert isinstance(told, str) and told, told
        # Another handle on the same bytes sends none.
        again = client.assets.from_file(path)
        assert (again.commit(), again.created_new) == (photo.id, False)
    assert photo.hash == again.hash and photo.job_id is None and photo.expires_at is None
    found = client.assets.get(photo.id)
    assert (found.hash, found.file_path) == (photo.hash, "photo.png")
    with client._low.get_asset_content(photo.id) as answer:
        assert answer.read() == content
    # A file of a job is one to start from too.
    made = client.workflows.from_json(loading(client.assets.get(output.id)))
    assert client.run(made, timeout=60).status == "succeeded"
    large = client.assets.from_bytes(os.urandom(3 << 20), filename="noise.bin")
    assert large.commit() and large.created_new
    try:
        client._low.post_assets(io.BytesIO(b"a"), "image/png", "a.png", expected_hash=photo.hash)
        raise AssertionError("a wrong hash was not refused")
    except ApiError as refusal:
        assert (refusal.http_status, refusal.code) == (409, "hash_mismatch"), refusal
    photo.delete()
    refused(comfy_sdk.NotFound, "not_found", lambda: client.assets.get(found.id))
    gone = client.workflows.from_json(loading(found))
    refused(comfy_sdk.MissingAsset, "missing_asset", lambda: client.submit(gone))

    # What is refused.
    node = refused(
        comfy_sdk.InvalidWorkflow, "invalid_workflow", lambda: client.submit(workflow(client, seed=2**63))
    )
    assert node.http_status == 422 and list(node.details["node_errors"]) == ["3"], node.details
    refused(
        comfy_sdk.InvalidWorkflow, "invalid_workflow", lambda: client.submit(client.workflows.from_json({}))
    )
    editor = client.workflows.from_json({"nodes": [], "links": []})
    refused(comfy_sdk.WorkflowFormatUi, "workflow_format_ui", lambda: client.submit(editor))
    key = str(uuid.uuid4())
    client.submit(workflow(client), idempotency_key=key)
    reused = refused(
        comfy_sdk.IdempotencyKeyReuse,
        "idempotency_key_reuse",
        lambda: client.submit(workflow(client), idempotency_key=key),
    )
    assert reused.idempotency_key == key
    refused(
        comfy_sdk.ComfyError,
        "metadata_invalid",
        lambda: client.submit(workflow(client), metadata={str(n): "x" for n in range(17)}),
    )
    refused(comfy_sdk.NotFound, "not_found", lambda: client.jobs.get(str(uuid.uuid4())))

with Comfy(api_key=OTHER_KEY) as other:
    refused(comfy_sdk.NotFound, "not_found", lambda: other.jobs.get(job.id))
    assert list(other.list_jobs()) == []
    refused(comfy_sdk.NotFound, "not_found", lambda: other.assets.get(large.id))

with Comfy(api_key="ij_wrong") as stranger:
    refused(comfy_sdk.Unauthorized, "unauthorized", lambda: stranger.jobs.get(job.id))


# Below a pool's path, as a base URL of its own.
request = urllib.request.Request(URL + "/v1/pools", headers={"Authorization": "Bearer " + KEY})
with urllib.request.urlopen(request) as answer:
    [pool] = json.load(answer)["pools"]
path = f"/pools/{pool['namespace']}/{pool['name']}"
os.environ["COMFY_BASE_URL"] = URL + path
with Comfy(api_key=KEY) as client:
    job = client.run(workflow(client), timeout=60)
    assert job._model.urls.self == f"{URL}{path}/api/v2/jobs/{job.id}"
    assert job.outputs[0].to_bytes() == content
os.environ["COMFY_BASE_URL"] = URL


async def asynchronously():
    client = AsyncComfy(api_key=KEY)
    try:
        job = await client.run(client.workflows.from_json(graph()), timeout=60)
        [output] = job.get_outputs("9")
        assert await output.to_bytes() == content
        photo = client.assets.from_bytes(content, filename="photo.png")
        watched = await client.submit(client.workflows.from_json(loading(photo)))
        assert photo.created_new is True
        events = [event async for event in watched.events()]
        assert events[-1] == StatusChange("succeeded"), events
        assert any(isinstance(event, OutputReady) for event in events)
    finally:
        await client.aclose()


asyncio.run(asynchronously())

with urllib.request.urlopen(URL + "/api/v2/health") as answer:
    assert json.load(answer) == {"status": "ok"}
