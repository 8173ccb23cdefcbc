//! Reads each scan named and prints the seconds that it took: the best of five.

use std::path::Path;
use std::time::Instant;

fn main() {
    for path in std::env::args().skip(1) {
        let seconds = || {
            let start = Instant::now();
            let image = polycl_volume::files::read_image(Path::new(&path)).expect("a scan");
            (start.elapsed().as_secs_f64(), image.voxels.len())
        };
        let best = (0..5).map(|_| seconds().0).fold(f64::INFINITY, f64::min);
        println!("{best:.3} s  {path}");
    }
}
