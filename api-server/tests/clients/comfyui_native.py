"""ComfyUI's own protocol, with the calls of its script_examples/websockets_api_example.py: all that it is told of us is an
address with the key in its path."""

import json
import os
import urllib.error
import urllib.parse
import urllib.request
import uuid

import websocket

server_address = os.environ["API_URL"].removeprefix("http://") + "/k/" + os.environ["API_KEY"]
client_id = str(uuid.uuid4())


def queue_prompt(prompt, prompt_id):
    data = json.dumps({"prompt": prompt, "client_id": client_id, "prompt_id": prompt_id}).encode("utf-8")
    request = urllib.request.Request(f"http://{server_address}/prompt", data=data)
    return json.loads(urllib.request.urlopen(request).read())


def get_image(filename, subfolder, folder_type):
    query = urllib.parse.urlencode({"filename": filename, "subfolder": subfolder, "type": folder_type})
    with urllib.request.urlopen(f"http://{server_address}/view?{query}") as response:
        assert response.headers["Content-Type"] == "image/png", response.headers
        return response.read()


def get_history(prompt_id):
    with urllib.request.urlopen(f"http://{server_address}/history/{prompt_id}") as response:
        return json.loads(response.read())


def get_images(ws, prompt):
    prompt_id = str(uuid.uuid4())
    answer = queue_prompt(prompt, prompt_id)
    assert answer["prompt_id"] == prompt_id and answer["node_errors"] == {}, answer
    kinds = []
    while True:
        out = ws.recv()
        if not isinstance(out, str):
            continue
        message = json.loads(out)
        kinds.append(message["type"])
        if message["type"] == "executing":
            data = message["data"]
            if data["node"] is None and data["prompt_id"] == prompt_id:
                break
    history = get_history(prompt_id)[prompt_id]
    images = {}
    for node_id, output in history["outputs"].items():
        images[node_id] = [get_image(i["filename"], i["subfolder"], i["type"]) for i in output.get("images", [])]
    return images, kinds, history


def graph(text):
    return {
        "3": {"class_type": "KSampler", "inputs": {
            "cfg": 8, "denoise": 1, "latent_image": ["5", 0], "model": ["4", 0], "negative": ["7", 0], "positive": ["6", 0],
            "sampler_name": "euler", "scheduler": "normal", "seed": 8566257, "steps": 20}},
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd15.safetensors"}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"batch_size": 1, "height": 512, "width": 512}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["4", 1], "text": text}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["4", 1], "text": "bad hands"}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "ComfyUI", "images": ["8", 0]}},
    }


ws = websocket.WebSocket()
ws.connect(f"ws://{server_address}/ws?clientId={client_id}", timeout=60)
for _ in range(2):
    images, kinds, _ = get_images(ws, graph("masterpiece best quality man"))
    assert list(images) == ["9"] and [image[:4] for image in images["9"]] == [b"\x89PNG"], images
    assert kinds[-4:] == ["executed", "execution_success", "status", "executing"], kinds

# A prompt that fails ends too, and its history says why.
images, kinds, history = get_images(ws, graph("fail"))
assert images == {} and kinds[-3:] == ["execution_error", "status", "executing"], kinds
last, why = history["status"]["messages"][-1]
assert last == "execution_error" and "asked to fail" in why["exception_message"], history
ws.close()

# As SillyTavern looks for what there is.
with urllib.request.urlopen(f"http://{server_address}/system_stats") as response:
    assert json.load(response)["system"]["comfyui_version"]
with urllib.request.urlopen(f"http://{server_address}/object_info") as response:
    info = json.load(response)
assert "euler" in info["KSampler"]["input"]["required"]["sampler_name"][0], info["KSampler"]
assert isinstance(info["VAELoader"]["input"]["required"]["vae_name"][0], list)

# Another key sees none of it.
other = os.environ["API_URL"] + "/k/" + os.environ["OTHER_KEY"]
with urllib.request.urlopen(f"{other}/history") as response:
    assert json.load(response) == {}
try:
    queue_prompt({"nodes": [], "links": []}, str(uuid.uuid4()))
    raise AssertionError("the editor's own format was taken")
except urllib.error.HTTPError as refused:
    assert refused.code == 400 and "Export (API)" in json.load(refused)["error"]["message"], refused
