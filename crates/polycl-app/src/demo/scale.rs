//! Sizes of the demo: in full, and for a quick look.

/// The size of the demo.
pub struct Scale {
    pub(super) training_patients: u32,
    pub(super) test_patients: u32,
    pub(super) pretraining_epochs: u32,
    /// Steps an epoch of pre-training.
    pub(super) pretraining_steps: u32,
    pub(super) finetuning_epochs: u32,
    pub(super) finetuning_steps: u32,
    /// Side of the slices of real scans.
    pub(super) real_size: u32,
}

pub const FULL: Scale = Scale {
    training_patients: 16,
    test_patients: 6,
    pretraining_epochs: 8,
    pretraining_steps: 14,
    finetuning_epochs: 3,
    finetuning_steps: 75,
    real_size: 128,
};
pub const QUICK: Scale = Scale {
    training_patients: 3,
    test_patients: 1,
    pretraining_epochs: 1,
    pretraining_steps: 4,
    finetuning_epochs: 2,
    finetuning_steps: 4,
    real_size: 64,
};

impl Scale {
    /// Flags of `pretrain`.
    pub(super) fn pretraining(&self) -> String {
        format!("--epochs {} --steps {}", self.pretraining_epochs, self.pretraining_steps)
    }
}
