//! The picture that a prompt asks for: a small landscape with a tower, its colours and shapes drawn from the words.
use std::f32::consts::TAU;

use crate::{
    latent::CHANNELS,
    noise::{Stream, ratio},
};

type Colour = [f32; 3];

/// What the "model" has in mind for a prompt; in latent channels: red, green and blue about -1 … 1, and shading.
pub(crate) fn draw(mut stream: Stream, width: usize, height: usize) -> Vec<f32> {
    let scene = Scene::new(&mut stream);
    let plane = width * height;
    let mut image = vec![0.0; CHANNELS * plane];
    for y in 0..height {
        for x in 0..width {
            let (u, v) = (ratio(2 * x + 1, 2 * width), ratio(2 * y + 1, 2 * height));
            let (colour, shade) = scene.at(u, v);
            for (channel, value) in colour.into_iter().chain([shade]).enumerate() {
                image[channel * plane + y * width + x] = value;
            }
        }
    }
    image
}

struct Scene {
    sky: [Colour; 2],
    sun: (f32, f32, f32, Colour),
    /// Far and near: height of the ridge, height of its waves, their number and phase, colour.
    hills: [(f32, f32, f32, f32, Colour); 2],
    /// Middle, top, half width at the top, stripes.
    tower: (f32, f32, f32, f32),
    tower_colours: [Colour; 2],
    lamp: Colour,
}

impl Scene {
    fn new(stream: &mut Stream) -> Self {
        let hue = stream.unit();
        let near = stream.between(0.25, 0.75);
        let mut hill = |base: f32, light: f32| {
            let shape =
                (base, stream.between(0.03, 0.09), stream.between(1.0, 3.0), stream.between(0.0, TAU));
            (shape.0, shape.1, shape.2, shape.3, colour(hue + near + stream.between(-0.1, 0.1), 0.35, light))
        };
        let hills = [hill(0.66, 0.42), hill(0.8, 0.2)];
        let accent = hue + stream.between(0.35, 0.65);
        Self {
            sky: [
                colour(hue, 0.7, stream.between(0.15, 0.5)),
                colour(hue + 0.12, 0.6, stream.between(0.55, 0.85)),
            ],
            sun: (
                stream.between(0.1, 0.9),
                stream.between(0.12, 0.5),
                stream.between(0.05, 0.13),
                colour(accent, 0.9, stream.between(0.75, 0.95)),
            ),
            hills,
            tower: (
                stream.between(0.2, 0.8),
                stream.between(0.22, 0.42),
                stream.between(0.025, 0.05),
                stream.between(6.0, 10.0),
            ),
            tower_colours: [colour(accent, 0.75, 0.45), colour(hue, 0.15, 0.92)],
            lamp: colour(0.14, 1.0, 0.9),
        }
    }

    /// Colour and shading at a point, both from 0 (left, top) to 1.
    fn at(&self, u: f32, v: f32) -> (Colour, f32) {
        let mut colour = mix(self.sky[0], self.sky[1], (v * 1.3).min(1.0));
        let mut shade = 0.0;
        let (x, y, radius, sun) = self.sun;
        let distance = (u - x).hypot(v - y);
        colour = mix(colour, sun, 0.35 * (1.0 - distance / (4.0 * radius)).max(0.0));
        colour = mix(colour, sun, edge(radius - distance));

        let (middle, top, half, stripes) = self.tower;
        let from_lamp = (u - middle, v - top);
        let beam = 0.28 * from_lamp.0.abs() - (from_lamp.1 + 0.1 * from_lamp.0).abs();
        colour = mix(colour, self.lamp, 0.4 * edge(beam) * (1.0 - 1.4 * from_lamp.0.abs()).max(0.0));

        let [far, near] = self.hills;
        for (hill, behind_tower) in [(far, true), (near, false)] {
            if !behind_tower {
                let below = v - top;
                let side = half * (1.0 + 1.2 * below.max(0.0)) - from_lamp.0.abs();
                let stripe = if (below * stripes * TAU).sin() > 0.0 { 0 } else { 1 };
                let on_tower = edge(side) * edge(below + 0.02);
                colour = mix(colour, self.tower_colours[stripe], on_tower);
                shade += 0.4 * on_tower * (from_lamp.0 / half).clamp(-1.0, 1.0);
                colour = mix(colour, self.lamp, edge(half * 1.2 - from_lamp.0.hypot(from_lamp.1)));
            }
            let (base, wave, count, phase, ground) = hill;
            let depth = v - base - wave * (count * u * TAU + phase).sin();
            colour = mix(colour, ground, edge(depth));
            shade -= 0.8 * depth.max(0.0) * edge(depth);
        }
        (colour.map(|value| 2.0 * value - 1.0), shade)
    }
}

/// 0 outside, 1 inside, soft between.
fn edge(inside: f32) -> f32 {
    (0.5 + inside * 40.0).clamp(0.0, 1.0)
}

fn mix(a: Colour, b: Colour, share: f32) -> Colour {
    [0, 1, 2].map(|i| a[i] + (b[i] - a[i]) * share)
}

/// Hue in turns, saturation and lightness in 0 … 1.
fn colour(hue: f32, saturation: f32, lightness: f32) -> Colour {
    let spread = saturation * lightness.min(1.0 - lightness);
    [0.0, 8.0, 4.0].map(|offset| {
        let k = (offset + hue.rem_euclid(1.0) * 12.0) % 12.0;
        lightness - spread * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0)
    })
}
