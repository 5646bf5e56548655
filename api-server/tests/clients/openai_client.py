"""OpenAI's SDK, with nothing but another base URL and a key."""

import asyncio
import base64
import os
import urllib.error
import urllib.request

import openai

URL, KEY = os.environ["API_URL"], os.environ["API_KEY"]
client = openai.OpenAI(base_url=URL + "/v1", api_key=KEY, timeout=60)


def is_png(text):
    return base64.b64decode(text).startswith(b"\x89PNG")


made = client.images.generate(
    model="dall-e-3", prompt="a lighthouse", n=2, size="512x512", quality="hd", style="vivid", user="ann",
    extra_body={"negative_prompt": "people", "num_inference_steps": 12, "seed": 7, "guidance_scale": 6.5},
)
assert len(made.data) == 2 and all(is_png(picture.b64_json) for picture in made.data), made
assert made.output_format == "png" and made.size and made.created

# A picture by its URL, as Open WebUI fetches it: with its own key.
made = client.images.generate(prompt="a cat", response_format="url")
url = made.data[0].url
for headers in [{}, {"Authorization": "Bearer " + KEY}]:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
        assert answer.headers["Content-Type"] == "image/png" and answer.read().startswith(b"\x89PNG")

picture = base64.b64decode(client.images.generate(prompt="a cat").data[0].b64_json)
changed = client.images.edit(image=("cat.png", picture), prompt="a hat", n=1, extra_body={"strength": 0.5})
assert is_png(changed.data[0].b64_json)
changed = list(client.images.edit(image=[("cat.png", picture)], prompt="a hat", stream=True))
assert [event.type for event in changed] == ["image_edit.completed"], changed

events = list(client.images.generate(prompt="a dog", stream=True, partial_images=2))
assert [event.type for event in events] == ["image_generation.completed"], events
assert is_png(events[0].b64_json) and events[0].usage.total_tokens == 0


async def with_asyncio():
    async with openai.AsyncOpenAI(base_url=URL + "/v1", api_key=KEY, timeout=60) as other:
        made = await other.images.generate(prompt="a bird")
        assert is_png(made.data[0].b64_json)
        stream = await other.images.generate(prompt="a bird", stream=True)
        return [event async for event in stream]


assert len(asyncio.run(with_asyncio())) == 1

raw = client.images.with_raw_response.generate(prompt="a cat", moderation="low")
assert raw.headers["x-imagejob-ignored"] == "moderation" and raw.request_id

assert {model.id for model in client.models.list()} == {"dall-e-3", "sd15.safetensors"}

for kind, order, told in [
    (openai.BadRequestError, {"size": "100x100"}, ("size", None)),
    (openai.BadRequestError, {"background": "transparent"}, ("background", None)),
    (openai.NotFoundError, {"model": "gpt-image-1"}, ("model", "model_not_found")),
    (openai.InternalServerError, {"prompt": "fail"}, (None, None)),
]:
    try:
        client.images.generate(**{"prompt": "a cat", **order})
        raise AssertionError(f"{order} was taken")
    except kind as refused:
        assert (refused.param, refused.code) == told and refused.request_id, refused

try:
    list(client.images.generate(prompt="fail", stream=True))
    raise AssertionError("a failure was no error")
except openai.APIError as failed:
    assert "asked to fail" in failed.message, failed

try:
    client.with_options(api_key="ij_unknown").images.generate(prompt="a cat")
    raise AssertionError("an unknown key was taken")
except openai.AuthenticationError as refused:
    assert refused.code == "invalid_api_key", refused

# A URL of another tenant's picture is as good as any; one that nobody signed is not.
try:
    urllib.request.urlopen(url.split("?")[0], timeout=60)
    raise AssertionError("an unsigned URL was taken")
except urllib.error.HTTPError as refused:
    assert refused.code == 403
