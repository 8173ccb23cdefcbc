/// The shape of a feature map, [N, H, W, C] with channels innermost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub n: usize,
    pub h: usize,
    pub w: usize,
    pub c: usize,
}

impl Shape {
    /// Values of all images together.
    pub fn len(self) -> usize {
        self.n * self.image()
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Values of one image.
    pub fn image(self) -> usize {
        self.h * self.row()
    }

    /// Values of one row of one image.
    pub fn row(self) -> usize {
        self.w * self.c
    }

    pub fn with_images(self, n: usize) -> Self {
        Self { n, ..self }
    }
}
