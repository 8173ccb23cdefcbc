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
    /// A record of `polycl serve`.
    Review,
}

impl Record {
    pub const ALL: [Self; 4] = [Self::Propagate, Self::Predict, Self::Refine, Self::Review];

    /// The name of the file.
    pub const fn file(self) -> &'static str {
        match self {
            Self::Propagate => "propagate.csv",
            Self::Predict => "polycl.json",
            Self::Refine => "refine.csv",
            Self::Review => "reviewed.csv",
        }
    }
}
