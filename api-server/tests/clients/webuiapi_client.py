"""A client of A1111's web UI, with a user's name and a key as the password."""

import asyncio
import os

import webuiapi

HOST, PORT = os.environ["API_URL"].removeprefix("http://").split(":")
KEY = os.environ["API_KEY"]
api = webuiapi.WebUIApi(host=HOST, port=int(PORT), username="anybody", password=KEY)

made = api.txt2img(
    prompt="a lighthouse", negative_prompt="people", seed=7, steps=12, cfg_scale=6.5, width=512, height=512, batch_size=2,
    sampler_name="DPM++ 2M Karras", override_settings={"sd_model_checkpoint": "sd15.safetensors"},
)
assert len(made.images) == 2 and made.image.size == (1, 1) and made.image.format == "PNG", made
assert made.info["all_seeds"] == [42, 43] and "a lighthouse" in made.info["infotexts"][0], made.info
assert made.parameters["steps"] == 12

# With nothing but a prompt: the client sends some fifty fields all the same.
assert len(api.txt2img(prompt="a cat").images) == 1


changed = api.img2img(images=[made.image], mask_image=made.image, prompt="a hat", denoising_strength=0.5)
assert len(changed.images) == 1 and changed.info["all_seeds"] == [42], changed


async def with_asyncio():
    return await api.txt2img(prompt="a dog", use_async=True)


assert len(asyncio.run(with_asyncio()).images) == 1

assert api.get_options()["sd_model_checkpoint"] == "sd15.safetensors"
assert api.util_get_model_names() == ["sd15.safetensors"] and api.util_get_current_model() == "sd15.safetensors"
api.util_set_model("sd15")
assert "Euler a" in api.util_get_sampler_names() and "karras" in api.util_get_scheduler_names()
assert api.get_scripts() == {"txt2img": [], "img2img": []}
for empty in [api.get_loras, api.get_upscalers, api.get_latent_upscale_modes, api.get_sd_vae, api.get_prompt_styles]:
    assert empty() == []
assert api.get_cmd_flags() == {} and api.get_embeddings()["loaded"] == {}
api.util_wait_for_ready(check_interval=0.2)
assert api.get_progress()["state"]["job_count"] == 0
assert api.interrupt() == {} and api.skip() == {}

for order in [{"enable_hr": True}, {"restore_faces": True}, {"tiling": True}, {"script_name": "x/y/z plot"}]:
    try:
        api.txt2img(prompt="a cat", **order)
        raise AssertionError(f"{order} was taken")
    except RuntimeError as refused:
        assert refused.args[0] == 422 and "detail" in refused.args[1], refused
try:
    webuiapi.WebUIApi(host=HOST, port=int(PORT), username="anybody", password="ij_unknown").txt2img(prompt="a cat")
    raise AssertionError("an unknown key was taken")
except RuntimeError as refused:
    assert refused.args[0] == 401, refused
