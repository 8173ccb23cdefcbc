use glam::Vec3;

/// A smooth random function of position: random values on a cubic lattice, interpolated.
#[derive(Debug, Clone, Copy)]
pub struct Texture {
    pub seed: u64,
    /// Edge of the lattice cells in mm.
    pub grain: f32,
}

impl Texture {
    /// The value at `p` (mm), in -1..=1.
    pub fn at(&self, p: Vec3) -> f32 {
        let q = p / self.grain;
        let cell = q.floor();
        let f = q - cell;
        let f = f * f * (Vec3::splat(3.0) - 2.0 * f);
        let [x, y, z] = cell.to_array().map(|c| c as i32);
        let along_x = |y, z| mix(self.corner(x, y, z), self.corner(x + 1, y, z), f.x);
        let plane = |z| mix(along_x(y, z), along_x(y + 1, z), f.y);
        mix(plane(z), plane(z + 1), f.z)
    }

    fn corner(&self, x: i32, y: i32, z: i32) -> f32 {
        let mut h = self.seed;
        for c in [x, y, z] {
            h = scramble(h ^ c as u32 as u64);
        }
        (h >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    }
}

pub fn mix(a: f32, b: f32, share_of_b: f32) -> f32 {
    a + (b - a) * share_of_b
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014).
fn scramble(h: u64) -> u64 {
    let h = h.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    h ^ (h >> 31)
}
