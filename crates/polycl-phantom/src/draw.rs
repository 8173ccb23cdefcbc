use glam::Vec3;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// The draws from which a patient and a scanner are made.
pub struct Draw(pub ChaCha8Rng);

impl Draw {
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.0.random::<f32>()
    }

    /// `mean` give or take `spread`.
    pub fn about(&mut self, mean: f32, spread: f32) -> f32 {
        self.between(mean - spread, mean + spread)
    }

    /// Each axis in -`spread` ..= `spread`.
    pub fn jitter(&mut self, spread: f32) -> Vec3 {
        Vec3::from_array(std::array::from_fn(|_| self.about(0.0, spread)))
    }

    pub fn chance(&mut self, probability: f32) -> bool {
        self.0.random::<f32>() < probability
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.0.random_range(0..from.len())]
    }

    pub fn count(&mut self, least: u32, most: u32) -> u32 {
        self.0.random_range(least..=most)
    }

    pub fn seed(&mut self) -> u64 {
        self.0.random()
    }
}
