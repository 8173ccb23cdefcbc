//! Parity with PyTorch: layers, losses, networks stage by stage, gradients, ten optimiser steps.
//! The numbers and their generators are in `tests/reference/`.

mod layers;
mod losses;
mod networks;
mod pretraining;
mod reference;
mod sam;
mod sam2;
mod training;
