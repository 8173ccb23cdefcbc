//! Which files belong together: by case name in two folders, or by a manifest.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use polycl_base::table::Row;
use polycl_base::{Error, Kind, Result, some, table};
use polycl_image::dicom::structures::Structures;
use polycl_image::files::{Reading, case_name};
use polycl_image::legend::Legend;
use polycl_image::{Folder, Given, Input, dicom, files, folder, names};

use super::channels::{self, Scans};
pub use super::pair::{Label, Pair};
use super::{Origin, Record, Salt, from_dicom, index, tagged};

const IMAGE_HINT: &str = "name images CASE.nii.gz, .nii, .nrrd, .nhdr, .mha, .mhd or .npz; \
                          give DICOM files with --dicom";
const SCAN_HINT: &str =
    "name scans CASE.nii.gz, .nii, .nrrd, .nhdr, .mha, .mhd or .npz, or give a folder of DICOM slices";

/// Pairs a folder of images (or a single image) with a folder of masks by case name; every image
/// is a patient of its own. nnU-Net's `_0000` is no part of an image's case name. A mask is
/// `CASE.nii.gz`, a DICOM object `CASE.dcm`, or a folder `CASE` with such an object or one file per structure, maybe under
/// `segmentations`. Also sentences about what numbers in names were taken for, and which files named the values of masks.
///
/// # Errors
/// [`Kind::Pairing`] for an empty folder, a mask without its image, or a case name given twice;
/// [`Kind::Labels`] as [`names::beside`], which is asked where `names` are not given.
pub fn from_folders(
    images: &Path,
    labels: Option<&Path>,
    names: Option<&Given>,
) -> Result<(Vec<Pair>, Vec<String>)> {
    let mut beside = names::Beside::default();
    let mut masks =
        labels.map(|folder| labels_in(folder, names, &mut beside)).transpose()?.unwrap_or_default();
    let named_by = naming(&beside);
    let files = if images.is_file() {
        vec![images.to_path_buf()]
    } else {
        let table = "list them in a table, --manifest, with the columns image, label and patient";
        images_in(images, [table, IMAGE_HINT])?
    };
    if let Some(image) = files.iter().find(|image| case_name(image).is_none()) {
        return Err(no_image(image, IMAGE_HINT));
    }
    let Scans { scans, mut notes } = channels::scans(files, masks.keys().map(String::as_str));
    notes.extend(beside_dicom(images));
    notes.extend(deeper(images, labels)?);
    notes.extend(named_by);
    let pair = |(image, case): (PathBuf, String)| {
        let own = case_name(&image).and_then(|name| masks.remove(&name));
        let label = own.or_else(|| masks.remove(&case));
        Pair { label, ..bare(case, Input::file(image)) }
    };
    let pairs = scans.into_iter().map(pair).collect();
    if let Some((case, label)) = masks.pop_first() {
        let expected = format!("an image {case}.nii.gz in {}", images.display());
        return Err(Error::new(label.path(), Kind::Pairing, expected, "a mask without its image")
            .hint("rename one of them, or use --manifest: image and mask are paired by file name"));
    }
    Ok((sorted(pairs)?, notes))
}

/// A sentence about the files that name the values of masks; a mask's own header is none.
fn naming(beside: &names::Beside) -> Option<String> {
    let files: Vec<String> = beside.tables().map(|file| straight(file).display().to_string()).collect();
    (!files.is_empty()).then(|| format!("names of label values are read from {}", some(&files)))
}

/// A path without its detours, for a person.
fn straight(path: &Path) -> PathBuf {
    let mut straight = PathBuf::new();
    for part in path.components() {
        let folder = matches!(straight.components().next_back(), Some(Component::Normal(_)));
        if part == Component::ParentDir && folder {
            straight.pop();
        } else {
            straight.push(part);
        }
    }
    straight
}

/// A sentence about DICOM slices that lie beside the files of a folder.
fn beside_dicom(folder: &Path) -> Option<String> {
    let series = if folder.is_dir() { folder::series(folder) } else { 0 };
    let folder = folder.display();
    (series > 0).then(|| {
        format!(
            "{folder}: the files are imported, and the DICOM series beside them are not: {series} (import those with --dicom)"
        )
    })
}

/// Words in the names of folders that hold no further scans.
const OF_MASKS: [&str; 10] = [
    "labels",
    "label",
    "masks",
    "mask",
    "seg",
    "segmentations",
    "segmentation",
    "predictions",
    "predicted",
    "polycl",
];

/// A sentence about the folders in a folder of scans that hold scans, too, and are not searched; `labels` holds none.
fn deeper(folder: &Path, labels: Option<&Path>) -> Result<Option<String>> {
    if !folder.is_dir() {
        return Ok(None);
    }
    let labels = labels.and_then(|labels| labels.canonicalize().ok());
    let of_masks = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let mut words = name.split(|c: char| !c.is_alphabetic());
        let is_labels = labels.as_ref().is_some_and(|l| path.canonicalize().is_ok_and(|p| l.starts_with(p)));
        words.any(|word| OF_MASKS.contains(&word)) || name.starts_with('.') || is_labels
    };
    let scan = |below: PathBuf| files::scans(&below).ok()?.into_iter().next();
    let [_, folders] = files::sorted_out(folder)?;
    let scans = Vec::from_iter(folders.into_iter().filter(|path| !of_masks(path)).filter_map(scan));
    Ok((!scans.is_empty()).then(|| {
        let scans: Vec<String> = scans.iter().map(|scan| scan.display().to_string()).collect();
        format!("{}: folders in it are not searched, and hold scans, too: {}", folder.display(), some(&scans))
    }))
}

/// Names scans, or all those of folders, as [`from_manifest`] does, without masks. A folder without image
/// files, and a file of no ending that we know, hold DICOM: see [`from_dicom`].
///
/// # Errors
/// As [`from_folders`] and [`from_dicom`].
pub fn unlabelled(paths: &[PathBuf], salt: &Salt) -> Result<(Vec<Pair>, Vec<String>)> {
    let mut files = Vec::new();
    let mut pairs = Vec::new();
    let mut notes = Vec::new();
    for path in paths {
        if !path.is_dir() && case_of(path).is_ok() {
            files.push(path.clone());
            continue;
        }
        let mut left_out = Vec::new();
        if path.is_dir() {
            match Folder::of(path)? {
                Folder::Files(found) => {
                    files.extend(found);
                    notes.extend(deeper(path, None)?);
                    continue;
                }
                Folder::Dicom { left_out: found } => left_out = found,
            }
        }
        match from_dicom(path, &[], salt) {
            Ok((series, told)) => {
                pairs.extend(series);
                // Files that are no DICOM lie in every export; only scans among them are missed.
                let of_dicom = |note: &String| !note.ends_with("files that are no DICOM");
                let beside = folder::left_out(&left_out);
                let told = told.into_iter().filter(of_dicom).chain(beside);
                notes.extend(told.map(|note| format!("{}: {note}", path.display())));
            }
            // Nothing of the kind: what was expected first is what is told.
            Err(e) if [Kind::Format, Kind::Io].contains(&e.kind) && !holds_dicom(path) => {
                if !path.is_dir() {
                    return Err(no_image(path, SCAN_HINT));
                }
                images_in(path, ["name them, or the folders that they lie in", SCAN_HINT])?;
                return Err(e);
            }
            Err(e) => return Err(e),
        }
    }
    let Scans { scans, notes: numbers } = channels::scans(files, std::iter::empty());
    notes.extend(numbers);
    let (files, stems): (Vec<PathBuf>, Vec<String>) = scans.into_iter().unzip();
    let cases = apart(&files, stems);
    let pair = |(image, case): (PathBuf, String)| bare(case, Input::file(image));
    pairs.extend(files.into_iter().zip(cases).map(pair));
    let pairs = sorted(pairs)
        .map_err(|error| error.hint("rename one of the files, or segment them into folders of their own"))?;
    Ok((pairs, notes))
}

/// Reads a manifest: a CSV file with the column `image` and any of `label`, `patient`, `domain`,
/// `names` (as for `--names`), `case`, `origin` (of the label) and `series`. Paths are
/// relative to the manifest. An image may be a folder of DICOM files, of which `series` names one where there
/// are several; a label may be a folder of one file per structure. Without a patient, an image is a patient
/// of its own, but for DICOM, whose tags tell; without a case, it is called after its file, and after its
/// folder too where several files have the same name.
///
/// # Errors
/// As [`from_folders`], and [`Kind::Format`] for another layout.
pub fn from_manifest(manifest: &Path, names: Option<&Given>, salt: &Salt) -> Result<Vec<Pair>> {
    let rows = table::read(manifest, &["image"], &COLUMNS)?;
    if rows.is_empty() {
        return Err(Error::new(manifest, Kind::Pairing, "a row for each image", "no rows"));
    }
    let base = manifest.parent().unwrap_or(Path::new(""));
    let images: Vec<PathBuf> = rows
        .iter()
        .map(|row| Ok(files::named(base.join(row.need("image", manifest)?))))
        .collect::<Result<_>>()?;
    let cases = cases_of(&images)?;
    let mut beside = names::Beside::default();
    let pairs = rows.iter().zip(images.into_iter().zip(cases)).map(|(row, (image, case))| {
        let case = row.get("case").map_or(case, str::to_owned);
        let own = row.get("names").map(|text| Given::parse(text, base)).transpose()?;
        let label = row.get("label").map(|path| files::named(base.join(path)));
        let label = label.map(|path| label_at(&path, own.as_ref().or(names), &mut beside));
        let origin = row.get("origin").map(|text| origin(row, text, manifest)).transpose()?;
        let image = Input::open(&image, row.get("series"))?;
        let tagged = if row.get("patient").is_none() { tagged::patient(&image, salt)? } else { None };
        let (tagged, unnamed) = tagged.unzip();
        Ok(Pair {
            patient: row.get("patient").map(str::to_owned).or(tagged).unwrap_or_else(|| case.clone()),
            unnamed: unnamed.flatten(),
            domain: row.get("domain").map(str::to_owned),
            label: label.transpose()?,
            origin,
            case,
            image,
            reading: Reading::default(),
        })
    });
    sorted(pairs.collect::<Result<_>>()?)
}

/// A scan that is a patient of its own and on which nothing is drawn.
pub(super) fn bare(case: String, image: Input) -> Pair {
    let (patient, reading) = (case.clone(), Reading::default());
    Pair { case, patient, unnamed: None, domain: None, image, label: None, origin: None, reading }
}

/// Columns of a manifest beside that of the image.
const COLUMNS: [&str; 7] = ["label", "patient", "domain", "names", "case", "origin", "series"];

/// The origin that a row states of its label.
fn origin(row: &Row, text: &str, manifest: &Path) -> Result<Origin> {
    row.need("label", manifest)?;
    text.parse().map_err(|_| {
        row.error(
            manifest,
            Kind::Format,
            "the origin hand, reviewed, propagated or predicted, or an empty cell",
            text,
        )
    })
}

/// A sentence about the images without a mask; `None` where all have one. Those that cannot be read become no scans.
pub fn without_masks<'a>(pairs: impl IntoIterator<Item = &'a Pair>) -> Option<String> {
    let (mut of, mut bare) = (0, Vec::new());
    for pair in pairs {
        of += 1;
        bare.extend((pair.label.is_none() && pair.image.space().is_ok()).then_some(pair));
    }
    let bare = bare.into_iter();
    let cases: Vec<&str> = bare.map(|pair| pair.case.as_str()).collect();
    let text = match cases.len() {
        0 => return None,
        1 => "images has no mask and stays unlabelled",
        _ => "images have no mask and stay unlabelled",
    };
    Some(format!("{} of {of} {text}: {}", cases.len(), some(&cases)))
}

/// The case name of an image: its file's name without nnU-Net's `_0000`.
fn case_of(image: &Path) -> Result<String> {
    let folder =
        || image.file_name().filter(|_| image.is_dir()).map(|name| name.to_string_lossy().into_owned());
    let name = case_name(image).or_else(folder).ok_or_else(|| no_image(image, IMAGE_HINT))?;
    Ok(name.strip_suffix("_0000").map(str::to_owned).unwrap_or(name))
}

/// Case names by file name; where several files share one, the folder's name goes before it.
fn cases_of(images: &[PathBuf]) -> Result<Vec<String>> {
    Ok(apart(images, images.iter().map(|image| case_of(image)).collect::<Result<_>>()?))
}

/// Names with the folder's before those that several files share.
fn apart(images: &[PathBuf], stems: Vec<String>) -> Vec<String> {
    let mut files: BTreeMap<&str, usize> = BTreeMap::new();
    stems.iter().for_each(|stem| *files.entry(stem).or_default() += 1);
    let alone = |stem: &String| files[stem.as_str()] == 1;
    let name = |(image, stem): (&PathBuf, &String)| match image
        .parent()
        .and_then(Path::file_name)
        .and_then(|f| f.to_str())
    {
        Some(folder) if !alone(stem) => format!("{folder}_{stem}"),
        _ => stem.clone(),
    };
    images.iter().zip(&stems).map(name).collect()
}

/// Sorts by case and refuses cases that are given twice or cannot name a folder of the store.
pub(super) fn sorted(mut pairs: Vec<Pair>) -> Result<Vec<Pair>> {
    pairs.sort_by(|a, b| a.case.cmp(&b.case));
    if let Some(twice) = pairs.windows(2).find(|two| two[0].case == two[1].case) {
        let found = format!("{} too", twice[0].image.path().display());
        let expected = format!("one image of the case {}", twice[0].case);
        return Err(Error::new(twice[1].image.path(), Kind::Pairing, expected, found)
            .hint("rename the files, or name the cases in a column `case` of a manifest"));
    }
    for pair in &pairs {
        index::check_case(&pair.case)
            .map_err(|found| Error::new(pair.image.path(), Kind::Pairing, "a plain name", found))?;
    }
    Ok(pairs)
}

fn holds_dicom(path: &Path) -> bool {
    dicom::find(path).is_ok_and(|found| found.is_dicom())
}

fn no_image(path: &Path, hint: &str) -> Error {
    Error::new(path, Kind::Format, "an image file", "another file name").hint(hint)
}

/// The images of a folder; where they lie in folders within it, `deeper` says what to do, and where there are none, `hint`.
fn images_in(folder: &Path, [deeper, hint]: [&str; 2]) -> Result<Vec<PathBuf>> {
    let files = files::scans(folder)?;
    if files.iter().any(|file| !files::is_segmentation(file)) {
        return Ok(files);
    }
    let none = Error::new(folder, Kind::Pairing, "images", "no image");
    let [_, folders] = files::sorted_out(folder)?;
    let below = folders.into_iter().filter_map(|below| files::scans(&below).ok()?.into_iter().next()).next();
    Err(match below {
        Some(scan) => {
            none.hint(format!("{deeper}: the folders in it hold scans, such as {}", scan.display()))
        }
        None => none.hint(hint),
    })
}

/// The labels of a folder by case.
///
/// # Errors
/// [`Kind::Pairing`] for a folder without masks, or two masks of a case; [`Kind::Labels`] as [`names::beside`].
pub fn masks_in(folder: &Path) -> Result<BTreeMap<String, Label>> {
    labels_in(folder, None, &mut names::Beside::default())
}

fn labels_in(
    folder: &Path,
    names: Option<&Given>,
    beside: &mut names::Beside,
) -> Result<BTreeMap<String, Label>> {
    let mut masks = BTreeMap::new();
    let predicted = folder.join(Record::Predict.file()).is_file();
    let [files, mut folders] = files::sorted_out(folder)?;
    folders.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // `polycl predict --probabilities` makes no masks there.
        !(name.starts_with('.') || predicted && name == "probabilities")
    });
    let mut add = |path: &Path, case: String, label: Label| match masks.insert(case, label) {
        None => Ok(()),
        Some(other) => {
            let found = format!("{} too", other.path().display());
            Err(Error::new(path, Kind::Pairing, "one mask of each case", found))
        }
    };
    for path in files::scans_among(files.clone()) {
        add(&path, case_name(&path).unwrap_or_default(), label_of_file(&path, names, beside)?)?;
    }
    for path in folders {
        let name = || path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        add(&path, case_name(&path).unwrap_or_else(name), label_of_folder(&path, names)?)?;
    }
    for path in files {
        // Beside a mask of another format its DICOM segmentation is no other one.
        let case = files::dicom_name(&path).filter(|case| !masks.contains_key(case));
        let Some(case) = case else { continue };
        if let Some(object) = Structures::at(&path)? {
            masks.insert(case, object_label(object, names)?);
        }
    }
    if masks.is_empty() {
        return Err(Error::new(folder, Kind::Pairing, "masks", "no mask")
            .hint("name masks like their images, or leave --labels out if there are no masks"));
    }
    Ok(masks)
}

/// The label that a DICOM object is, with the names of its structures or of those that are asked for.
fn object_label(object: Structures, names: Option<&Given>) -> Result<Label> {
    let legend = match names {
        Some(given) => given.legend(&object.path)?,
        None => Legend::plain(object.names()),
    };
    Ok(Label::Map(object.path, legend))
}

/// The label at a path: a DICOM object, a file of label values, or a folder of one file per structure.
fn label_at(path: &Path, names: Option<&Given>, beside: &mut names::Beside) -> Result<Label> {
    if path.is_dir() { label_of_folder(path, names) } else { label_of_file(path, names, beside) }
}

fn label_of_file(path: &Path, names: Option<&Given>, beside: &mut names::Beside) -> Result<Label> {
    if case_name(path).is_none()
        && let Some(object) = Structures::at(path)?
    {
        return object_label(object, names);
    }
    let legend = names.map_or_else(|| beside.legend(path), |given| given.legend(path))?;
    Ok(Label::Map(path.to_path_buf(), legend))
}

fn label_of_folder(path: &Path, names: Option<&Given>) -> Result<Label> {
    if let Some(object) = Structures::at(path)? {
        return object_label(object, names);
    }
    if case_name(path).is_some() {
        files::not_a_folder(path)?;
    }
    // TotalSegmentator puts its structures one level down.
    let below = path.join("segmentations");
    let folder = if below.is_dir() { below } else { path.to_path_buf() };
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    for file in files::scans(&folder)? {
        let structure = case_name(&file).unwrap_or_default();
        if let Some(other) = files.insert(structure, file) {
            let found = "another of the same name beside it";
            return Err(Error::new(other, Kind::Pairing, "one file of each structure", found));
        }
    }
    if files.is_empty() {
        return Err(Error::new(&folder, Kind::Pairing, "one file per structure", "no such file"));
    }
    Ok(Label::Structures(files))
}
