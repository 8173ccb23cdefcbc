//! Places of the organs. Positions are mm in the frame of [`Builder`]: x to the patient's right, y
//! anterior, z superior; the origin lies in the middle of the cavity at the level of the kidneys.

use super::builder::Builder;
use super::draw::Draw;
use super::label;
use super::layer::{Fill, Layer, Place};
use super::shape::Part;
use super::tissue::Tissues;
use super::trunk::Trunk;

/// All layers in painting order: what is soft and gives way comes first.
pub fn layers(draw: &mut Draw, trunk: &Trunk, t: &Tissues) -> Vec<Layer> {
    let mut b = Builder::new(draw, trunk);
    chest(&mut b, t, trunk.domes[1]);
    bowel(&mut b, t);
    colon(&mut b, t);
    stomach(&mut b, t);
    spleen(&mut b, t);
    pancreas(&mut b, t);
    liver(&mut b, t);
    lesions(&mut b, t);
    gallbladder(&mut b, t);
    retroperitoneum(&mut b, t);
    kidney(&mut b, t, -1.0, -4.0, label::KIDNEY_LEFT);
    kidney(&mut b, t, 1.0, -18.0, label::KIDNEY_RIGHT);
    vessels(&mut b, t);
    spine(&mut b, t);
    b.layers
}

/// A wall around fluid, food, oral contrast or gas.
fn hollow(b: &mut Builder, t: &Tissues, thickness: f32, gas: Option<f32>) -> Fill {
    // Fluid; chyme or food, as dense as liver; dilute oral contrast.
    let core = match b.draw.count(0, 9) {
        0..=2 => b.draw.between(5.0, 30.0),
        3..=7 => b.draw.between(35.0, 95.0),
        _ => b.draw.between(95.0, 220.0),
    };
    Fill { rim: t.gut, thickness, core, mottle: b.draw.between(8.0, 30.0), gas }
}

fn chest(b: &mut Builder, t: &Tissues, dome: f32) {
    b.stray(4.0);
    let mediastinum = b.tube(&[[0.0, -14.0, 20.0], [0.0, -10.0, 190.0]], [27.0, 30.0], 2.0);
    b.add(mediastinum, [1.0, 3.0, 25.0], Fill::solid(t.fat, 20.0), 0, Place::Thorax);
    let sac = b.ball([-22.0, 42.0, dome + 26.0], [60.0, 48.0, 40.0]);
    b.add(vec![sac], [1.0, 4.0, 40.0], Fill::solid(t.fat, 10.0), 0, Place::Thorax);
    let heart = b.turned([-26.0, 36.0, dome + 28.0], [54.0, 42.0, 36.0], [0.0, 0.0, 0.5]);
    let blood = 0.5 * (t.arteries + t.veins);
    let fill =
        Fill { rim: t.muscle + 0.4 * (blood - t.muscle), thickness: 9.0, core: blood, ..Fill::default() };
    b.add(vec![heart], [1.0, 3.0, 40.0], fill, 0, Place::Thorax);
    let oesophagus = b.tube(&[[-16.0, -6.0, 48.0], [-8.0, -6.0, 190.0]], [9.0, 7.0], 2.0);
    b.add(oesophagus, [1.0, 1.0, 15.0], Fill::solid(t.gut, 15.0), 0, Place::Trunk);
}

fn bowel(b: &mut Builder, t: &Tissues) {
    for _ in 0..b.draw.count(44, 60) {
        b.stray(0.0);
        let (x, y) = (b.draw.about(0.0, 92.0), b.draw.between(-15.0, 66.0));
        let z = b.draw.between(-160.0, 6.0);
        let bend = [b.draw.about(x, 45.0), b.draw.about(y, 25.0), b.draw.about(z, 25.0)];
        let radius = b.draw.between(9.0, 16.0);
        let loop_ = b.tube(&[[x, y, z], bend], [radius, radius], 0.0);
        let level = y + b.draw.about(0.0, 0.6) * radius;
        let gas = b.draw.chance(0.25).then(|| b.at(0.0, level, 0.0).y);
        let fill = hollow(b, t, 3.0, gas);
        b.add(loop_, [1.0, 2.5, 14.0], fill, 0, Place::Abdomen);
    }
}

fn colon(b: &mut Builder, t: &Tissues) {
    let right = [[94.0, -18.0, -150.0], [95.0, -15.0, -75.0], [84.0, 15.0, -42.0]];
    let across = [[84.0, 15.0, -42.0], [45.0, 55.0, -62.0], [-15.0, 60.0, -58.0], [-70.0, 45.0, -12.0]];
    let left = [[-70.0, 45.0, -12.0], [-100.0, -5.0, 12.0], [-103.0, -22.0, -60.0], [-98.0, -15.0, -150.0]];
    b.stray(5.0);
    for course in [&right[..], &across, &left] {
        let radius = b.draw.between(14.0, 22.0);
        let tube = b.tube(course, [radius, radius], 4.0);
        let level = course[1][1] + b.draw.about(0.0, 0.7) * radius;
        let gas = b.draw.chance(0.75).then(|| b.at(0.0, level, 0.0).y);
        let fill = Fill { mottle: 60.0, ..hollow(b, t, 3.0, gas) };
        b.add(tube, [6.0, 4.0, 16.0], fill, 0, Place::Abdomen);
    }
}

fn stomach(b: &mut Builder, t: &Tissues) {
    b.stray(6.0);
    let full = b.draw.between(0.75, 1.15);
    let parts = [
        ([-56.0, -4.0, 50.0], [38.0, 38.0, 36.0]),
        ([-52.0, 26.0, 16.0], [30.0, 27.0, 42.0]),
        ([-14.0, 42.0, -16.0], [36.0, 19.0, 18.0]),
        ([18.0, 34.0, -14.0], [18.0, 14.0, 14.0]),
    ];
    let parts = parts.map(|(centre, radii)| b.ball(centre, radii.map(|r| r * full)));
    let level = b.draw.about(34.0, 14.0);
    let gas = b.draw.chance(0.75).then(|| b.at(0.0, level, 0.0).y);
    let thickness = b.draw.between(3.0, 7.0);
    let fill = hollow(b, t, thickness, gas);
    b.add(parts.to_vec(), [14.0, 4.0, 35.0], fill, label::STOMACH, Place::Abdomen);
}

fn spleen(b: &mut Builder, t: &Tissues) {
    b.stray(6.0);
    let size = b.draw.between(0.9, 1.4);
    let parts = [
        b.turned([-92.0, -36.0, 36.0], [29.0 * size, 47.0 * size, 52.0 * size], [0.2, 0.0, 0.35]),
        b.turned([-98.0, -8.0, 24.0], [22.0 * size, 34.0 * size, 36.0 * size], [0.0, 0.0, 0.1]),
    ];
    // Early after the injection the red pulp takes up contrast unevenly.
    let mottle = (0.35 * (t.arteries - t.veins)).clamp(4.0, 40.0);
    b.add(parts.to_vec(), [10.0, 4.0, 30.0], Fill::solid(t.spleen, mottle), label::SPLEEN, Place::Abdomen);
}

fn pancreas(b: &mut Builder, t: &Tissues) {
    b.stray(5.0);
    let course = [
        [30.0, 10.0, -24.0],
        [20.0, 16.0, -8.0],
        [-8.0, 22.0, 4.0],
        [-40.0, 4.0, 16.0],
        [-66.0, -16.0, 22.0],
    ];
    let gland = b.tube(&course, [14.0, 9.0], 3.0);
    b.add(gland, [5.0, 3.5, 9.0], Fill::solid(t.pancreas, 14.0), 0, Place::Abdomen);
    let course = [[30.0, 30.0, -14.0], [46.0, 14.0, -18.0], [44.0, 6.0, -48.0], [0.0, -2.0, -56.0]];
    let duodenum = b.tube(&course, [12.0, 11.0], 3.0);
    let fill = hollow(b, t, 3.0, None);
    b.add(duodenum, [5.0, 2.0, 14.0], fill, 0, Place::Abdomen);
}

fn liver(b: &mut Builder, t: &Tissues) {
    b.stray(5.0);
    let size = b.draw.between(0.9, 1.08);
    let left = b.draw.between(0.75, 1.25);
    let tip = b.draw.between(0.6, 0.85);
    let mut parts = vec![
        b.turned([68.0, -6.0, 24.0], [64.0 * size, 74.0 * size, 84.0 * size], [0.0, 0.15, 0.0]),
        b.ball([30.0, 28.0, 32.0], [52.0 * size, 44.0 * size, 44.0 * size]),
        b.turned([-18.0, 42.0, 38.0], [50.0 * left, 27.0, 34.0 * left], [0.1, 0.2, -0.25]),
        b.ball([18.0, -6.0, 32.0], [18.0, 15.0, 28.0]),
    ];
    parts.push(b.ball([90.0, -2.0, -40.0 * tip], [30.0, 44.0, 46.0 * tip]));
    let fill = Fill::solid(t.liver, b.draw.between(4.0, 14.0));
    b.add(parts, [16.0, 6.0, 38.0], fill, label::LIVER, Place::Abdomen);
    let fissure = b.turned([2.0, 52.0, 10.0], [3.0, 22.0, 30.0], [0.0, 0.0, 0.2]);
    b.add(vec![fissure], [1.0, 1.0, 15.0], Fill::solid(t.fat, 10.0), 0, Place::Abdomen);
    let inner = Fill::solid(t.portal, 4.0);
    let trees: [&[[f32; 3]]; 5] = [
        &[[20.0, 6.0, -4.0], [40.0, 6.0, 14.0], [72.0, -8.0, 12.0], [95.0, -25.0, 0.0]],
        &[[40.0, 6.0, 14.0], [12.0, 28.0, 26.0], [-14.0, 42.0, 34.0]],
        &[[24.0, -4.0, 62.0], [62.0, -6.0, 48.0], [92.0, -10.0, 24.0]],
        &[[24.0, -4.0, 62.0], [48.0, 22.0, 48.0], [64.0, 46.0, 20.0]],
        &[[24.0, -4.0, 62.0], [2.0, 26.0, 50.0], [-22.0, 42.0, 40.0]],
    ];
    for course in trees {
        let vessel = b.tube(course, [7.0, 3.0], 5.0);
        b.add(vessel, [3.0, 0.5, 20.0], inner, label::LIVER, Place::Onto(label::LIVER));
    }
}

/// Half of the patients have lesions, which belong to the liver.
fn lesions(b: &mut Builder, t: &Tissues) {
    if b.draw.chance(0.5) {
        return;
    }
    b.stray(0.0);
    for _ in 0..b.draw.count(1, 6) {
        let centre = [b.draw.between(5.0, 110.0), b.draw.about(5.0, 50.0), b.draw.between(-20.0, 70.0)];
        let radius = b.draw.between(5.0, 22.0);
        let part = b.ball(centre, [radius; 3]);
        let core = match b.draw.count(0, 3) {
            0 => 6.0,
            1 => t.liver + b.draw.between(15.0, 45.0),
            _ => t.liver - b.draw.between(20.0, 50.0),
        };
        let rim = 0.5 * (core + t.liver) + 10.0;
        let fill = Fill { rim, thickness: 0.2 * radius, core, mottle: 12.0, gas: None };
        b.add(vec![part], [1.0, 0.2 * radius, radius], fill, label::LIVER, Place::Onto(label::LIVER));
    }
}

fn gallbladder(b: &mut Builder, t: &Tissues) {
    if b.draw.chance(0.15) {
        return;
    }
    b.stray(6.0);
    let part = b.turned([44.0, 40.0, -24.0], [14.0, 19.0, 24.0], [0.5, 0.2, 0.0]);
    let core = b.draw.between(4.0, 30.0);
    let fill = Fill { rim: t.gut, thickness: 2.0, core, mottle: 4.0, gas: None };
    b.add(vec![part], [1.0, 2.0, 20.0], fill, 0, Place::Abdomen);
}

/// Psoas, crura of the diaphragm and the long muscles of the back.
fn retroperitoneum(b: &mut Builder, t: &Tissues) {
    b.stray(2.0);
    let muscle = Fill::solid(t.muscle, 14.0);
    for side in [-1.0, 1.0] {
        let psoas = b.tube(&[[side * 28.0, -42.0, 5.0], [side * 44.0, -34.0, -150.0]], [8.0, 24.0], 2.0);
        b.add(psoas, [1.0, 2.0, 25.0], muscle, 0, Place::Abdomen);
        let crus = b.tube(&[[side * 15.0, -20.0, -30.0], [side * 17.0, -14.0, 75.0]], [4.0, 7.0], 2.0);
        b.add(crus, [1.0, 1.0, 15.0], muscle, 0, Place::Trunk);
    }
    // One bulge, in which the vertebrae lie: no lung reaches behind them.
    let courses = [(-34.0, -76.0, 21.0), (0.0, -66.0, 22.0), (34.0, -76.0, 21.0)];
    let back =
        courses.map(|(x, y, r)| b.tube(&[[x, y, -150.0], [0.9 * x, y, 190.0]], [r + 4.0, r - 3.0], 2.0));
    b.add(back.concat(), [16.0, 3.0, 30.0], muscle, 0, Place::Trunk);
}

/// `side` is 1 on the patient's right and -1 on the left.
fn kidney(b: &mut Builder, t: &Tissues, side: f32, z: f32, label: u16) {
    b.stray(6.0);
    let size = b.draw.between(0.85, 1.15);
    let centre = [side * 62.0, -40.0, z];
    let radii = [25.0 * size, 28.0 * size, 54.0 * size];
    let part = b.turned(centre, radii, [-0.15, side * -0.2, side * -0.4]);
    let capsule = b.draw.between(0.0, 9.0);
    let fat = Part::ball(b.at(centre[0], centre[1], z), radii.map(|r| r + capsule).into());
    b.add(vec![fat], [1.0, 3.0, 25.0], Fill::solid(t.fat, 12.0), 0, Place::Abdomen);
    let fill = Fill { rim: t.cortex, thickness: 7.0, core: t.medulla, mottle: 10.0, gas: None };
    b.add(vec![part], [1.0, 2.0, 22.0], fill, label, Place::Abdomen);
    let sinus = b.ball([side * 46.0, -34.0, z], [17.0, 10.0, 20.0]);
    b.add(vec![sinus], [1.0, 3.0, 10.0], Fill::solid(t.fat + 40.0, 40.0), 0, Place::Onto(label));
}

fn vessels(b: &mut Builder, t: &Tissues) {
    b.stray(2.0);
    let wide = b.draw.between(9.0, 14.0);
    let cava = b.tube(&[[22.0, -14.0, -150.0], [24.0, -12.0, 0.0], [22.0, -2.0, 90.0]], [12.0, 13.0], 2.0);
    b.add(cava, [5.0, 2.0, 30.0], Fill::solid(t.veins, 6.0), 0, Place::Abdomen);
    let mesenteric = b.tube(&[[-4.0, -4.0, 4.0], [-2.0, 14.0, -30.0], [2.0, 16.0, -140.0]], [4.5, 3.5], 2.0);
    b.add(mesenteric, [2.0, 0.0, 20.0], Fill::solid(t.arteries, 0.0), 0, Place::Abdomen);
    let course = [[-8.0, -12.0, -150.0], [-9.0, -11.0, -30.0], [-7.0, -12.0, 70.0], [-15.0, -18.0, 190.0]];
    let aorta = b.tube(&course, [wide, wide + 2.0], 2.5);
    b.add(aorta, [6.0, 0.8, 25.0], Fill::solid(t.arteries, 5.0), label::AORTA, Place::Trunk);
}

/// Vertebrae and discs with the canal and the processes behind them.
fn spine(b: &mut Builder, t: &Tissues) {
    b.stray(2.0);
    let pitch = b.draw.between(31.0, 36.0);
    let phase = b.draw.between(0.0, pitch);
    let bone = Fill { rim: t.marrow + 230.0, thickness: 2.5, core: t.marrow, mottle: 40.0, gas: None };
    let disc = Fill::solid(85.0, 10.0);
    let core = b.tube(&[[0.0, -40.0, -160.0], [0.0, -42.0, 200.0]], [20.0, 16.0], 0.0);
    b.add(core, [1.0, 1.0, 20.0], disc, label::SPINE, Place::Trunk);
    for level in 0..12 {
        let z = -170.0 + phase + pitch * level as f32;
        let parts = vec![
            Part::ball(b.at(0.0, -40.0, z), [23.0, 17.0, 0.46 * pitch].into()),
            Part::ball(b.at(0.0, -68.0, z - 4.0), [17.0, 9.0, 13.0].into()),
        ];
        b.add(parts, [3.0, 1.0, 15.0], bone, label::SPINE, Place::Trunk);
        let spikes = [[0.0, -92.0, z - 14.0], [40.0, -66.0, z], [-40.0, -66.0, z]];
        for [x, y, z_end] in spikes {
            let process = b.tube(&[[0.25 * x, -68.0, z - 2.0], [x, y, z_end]], [5.0, 3.5], 1.0);
            b.add(process, [1.0, 0.5, 10.0], bone, label::SPINE, Place::Trunk);
        }
    }
    let canal = b.tube(&[[0.0, -59.0, -160.0], [0.0, -60.0, 200.0]], [8.0, 7.5], 0.0);
    b.add(canal, [1.0, 0.0, 20.0], Fill::solid(28.0, 8.0), 0, Place::Trunk);
}
