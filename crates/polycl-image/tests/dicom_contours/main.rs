//! RTSTRUCT: contours that are read, and those that are written.

mod analytic;
mod builder;
mod golden;
mod hostile;
mod written;
