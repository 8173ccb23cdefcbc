//! Hounsfield units of tissues, and how contrast medium shifts them together.

use super::draw::Draw;
use super::texture::mix;

/// When after the injection the scan was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Native,
    Arterial,
    Portal,
}

/// Mean HU of one patient's tissues in one scan.
#[derive(Debug, Clone)]
pub struct Tissues {
    pub fat: f32,
    pub muscle: f32,
    pub liver: f32,
    pub spleen: f32,
    pub cortex: f32,
    pub medulla: f32,
    pub arteries: f32,
    pub veins: f32,
    /// Vessels of the liver.
    pub portal: f32,
    pub pancreas: f32,
    /// Wall of stomach and bowel.
    pub gut: f32,
    pub marrow: f32,
}

impl Tissues {
    /// Draws one patient's tissues. `gain` multiplies what the contrast medium adds: lower tube
    /// voltages brighten iodine.
    pub fn draw(draw: &mut Draw, phase: Phase, gain: f32) -> Self {
        // The patient's dose and circulation move all enhanced tissues together.
        let gain = match phase {
            Phase::Native => 0.0,
            _ => gain * draw.about(1.0, 0.2),
        };
        let late = phase == Phase::Portal;
        let mut enhanced = |native: f32, spread: f32, arterial: f32, portal: f32| {
            draw.about(native, spread) + gain * if late { portal } else { arterial }
        };
        let (muscle, spleen) = (enhanced(54.0, 5.0, 6.0, 16.0), enhanced(47.0, 4.0, 60.0, 54.0));
        let (cortex, medulla) = (enhanced(34.0, 3.0, 120.0, 130.0), enhanced(30.0, 3.0, 30.0, 105.0));
        let (arteries, veins) = (enhanced(41.0, 4.0, 240.0, 95.0), enhanced(41.0, 4.0, 45.0, 80.0));
        let (pancreas, gut) = (enhanced(40.0, 7.0, 55.0, 40.0), enhanced(42.0, 6.0, 35.0, 40.0));
        let blood = enhanced(40.0, 3.0, 40.0, 95.0);
        let liver = enhanced(57.0, 6.0, 12.0, 36.0);
        // A third of the livers are fatty, which can sink them below muscle and blood.
        let steatosis = if draw.chance(0.35) { draw.between(10.0, 38.0) } else { 0.0 };
        let liver = liver - steatosis;
        Self {
            fat: draw.about(-104.0, 6.0),
            muscle,
            liver,
            spleen,
            cortex,
            medulla,
            arteries,
            veins,
            portal: mix(blood, liver, 0.35),
            pancreas,
            gut,
            marrow: draw.between(120.0, 230.0),
        }
    }
}
