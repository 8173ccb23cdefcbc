//! DICOM series: what we read against pydicom and SimpleITK, and what we refuse.

mod golden;
mod habits;
mod hostile;
mod real;
mod refusals;
