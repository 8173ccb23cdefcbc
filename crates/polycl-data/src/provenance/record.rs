//! The files beside masks that tell who made them.

/// A file that says which of the masks beside it a machine made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record {
    /// A record of `polycl propagate`.
    Propagate,
    /// A record of `polycl predict`.
    Predict,
    /// A record of `polycl refine`, and of `polycl predict --refine`.
    Refine,
}

impl Record {
    pub const ALL: [Self; 3] = [Self::Propagate, Self::Predict, Self::Refine];

    /// The name of the file.
    pub const fn file(self) -> &'static str {
        match self {
            Self::Propagate => "propagate.csv",
            Self::Predict => "polycl.json",
            Self::Refine => "refine.csv",
        }
    }
}
