#!/bin/bash
# Makes the files beside it. Needs ffmpeg, avifenc (libavif-bin), webp, imagemagick, exiftool (libimage-exiftool-perl) and
# python3, as Debian 12 has them. Each file holds the text below where ComfyUI, or another tool, puts its prompts.
set -euo pipefail
cd "$(dirname "$0")"
SECRET=sk-test-not-a-real-key
F=(ffmpeg -v error -y -fflags +bitexact)
PICTURES=(-f lavfi -i "testsrc=size=64x48:rate=10:duration=0.5")
SOUND=(-f lavfi -i "sine=frequency=440:duration=0.2:sample_rate=16000")
TEXT=(-metadata "prompt=$SECRET" -metadata "workflow=$SECRET" -metadata "title=$SECRET" -metadata "comment=$SECRET")
H264=(-c:v libx264 -preset veryslow -crf 40 -pix_fmt yuv420p)

"${F[@]}" "${PICTURES[@]}" "${TEXT[@]}" "${H264[@]}" -movflags use_metadata_tags film.mp4
"${F[@]}" "${PICTURES[@]}" "${TEXT[@]}" "${H264[@]}" -movflags +faststart fast.mp4
"${F[@]}" "${PICTURES[@]}" "${TEXT[@]}" "${H264[@]}" film.mov
"${F[@]}" "${SOUND[@]}" "${TEXT[@]}" -c:a aac -b:a 16k sound.m4a
"${F[@]}" "${PICTURES[@]}" "${TEXT[@]}" -c:v libvpx-vp9 -crf 60 -b:v 0 film.webm
"${F[@]}" "${PICTURES[@]}" "${TEXT[@]}" "${H264[@]}" film.mkv
# Its clusters and its segment have no size.
"${F[@]}" "${PICTURES[@]}" "${TEXT[@]}" -c:v libvpx -crf 60 -b:v 20k -f webm -live 1 - > live.webm
"${F[@]}" "${SOUND[@]}" "${TEXT[@]}" -c:a flac -compression_level 12 -metadata_header_padding 16 sound.flac
"${F[@]}" "${SOUND[@]}" "${TEXT[@]}" -c:a libmp3lame -b:a 8k -write_id3v1 1 sound.mp3
"${F[@]}" "${SOUND[@]}" "${TEXT[@]}" -c:a libopus -b:a 8k sound.opus
"${F[@]}" "${SOUND[@]}" "${TEXT[@]}" -c:a libvorbis -q:a 0 -ar 8000 sound.ogg
"${F[@]}" -f lavfi -i "sine=frequency=440:duration=0.1:sample_rate=8000" "${TEXT[@]}" -c:a pcm_s16le sound.wav

"${F[@]}" "${PICTURES[@]}" -frames:v 1 still.png
printf '<x:xmpmeta xmlns:x="adobe:ns:meta/">%s</x:xmpmeta>' "$SECRET" > still.xmp
convert still.png -quality 30 -set comment "$SECRET" turned.jpg
exiftool -q -overwrite_original -Orientation#=6 -n -ImageDescription="$SECRET" -XMP:Description="$SECRET" -IPTC:Keywords="$SECRET" turned.jpg
exiftool -q -b -Exif turned.jpg > still.exif
convert still.png -quality 30 -interlace JPEG progressive.jpg
cwebp -quiet -q 10 still.png -o still.webp
webpmux -set exif still.exif still.webp -o exif.webp >/dev/null 2>&1
webpmux -set xmp still.xmp exif.webp -o still.webp >/dev/null 2>&1
"${F[@]}" "${PICTURES[@]}" -frames:v 3 -c:v libwebp_anim -q:v 5 -loop 0 exif.webp
webpmux -set exif still.exif exif.webp -o animated.webp >/dev/null 2>&1
"${F[@]}" "${PICTURES[@]}" -frames:v 3 -plays 0 -f apng animated.png
convert -delay 10 -size 16x16 xc:red xc:lime xc:blue -set comment "$SECRET" -loop 0 animated.gif
exiftool -q -overwrite_original -XMP:Description="$SECRET" animated.gif
avifenc --min 50 --max 60 -s 10 --exif still.exif --xmp still.xmp still.png still.avif >/dev/null
"${F[@]}" "${PICTURES[@]}" -frames:v 1 -vf scale=16:12 -compression zip16 -f image2 plain.exr
python3 - "$SECRET" <<'P'
import struct, sys
secret = sys.argv[1].encode()
data = open("plain.exr", "rb").read()
text = b"prompt\0string\0" + struct.pack("<I", len(secret)) + secret
# The header ends with an empty name, and the table of offsets begins.
at = 8
while data[at]:
    for _ in range(2):
        at = data.index(0, at) + 1
    at += 4 + struct.unpack_from("<I", data, at)[0]
at += 1
first = struct.unpack_from("<Q", data, at)[0]
offsets = [o + len(text) for (o,) in struct.iter_unpack("<Q", data[at:first])]
open("still.exr", "wb").write(data[:8] + text + data[8:at] + struct.pack(f"<{len(offsets)}Q", *offsets) + data[first:])
P
rm -f still.exif still.xmp exif.webp plain.exr still.png
