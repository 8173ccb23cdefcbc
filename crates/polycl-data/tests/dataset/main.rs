//! Data sets from files to slices, on scans made here and on the real ones where they are.

mod continuing;
mod contours;
mod drawn;
mod files;
mod habits;
mod hostile;
mod import;
mod layouts;
mod legend;
mod names;
mod opening;
mod origin;
mod patients;
mod ranges;
mod real;
mod structures;
mod told;
