//! What a label's name means in SNOMED CT, by which systems know an organ whatever it is called.
//! A name that is not in the table is coded as tissue, which is what 3D Slicer does.

use dicom_core::VR;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use super::element::{item, sequence, text};

/// A code, and its meaning for people.
type Code = (&'static str, &'static str);

const STRUCTURE: Code = ("91723000", "Anatomical Structure");
const MORPHOLOGY: Code = ("49755003", "Morphologically Abnormal Structure");
const TISSUE: Code = ("85756007", "Tissue");
const LEFT: Code = ("7771000", "Left");
const RIGHT: Code = ("24028007", "Right");

/// Names without their sides, as [`words`] spells them, and codes.
const STRUCTURES: &[(&[&str], Code)] = &[
    (&["liver"], ("10200004", "Liver")),
    (&["spleen"], ("78961009", "Spleen")),
    (&["kidney", "kidneys"], ("64033007", "Kidney")),
    (&["pancreas"], ("15776009", "Pancreas")),
    (&["stomach"], ("69695003", "Stomach")),
    (&["gallbladder", "gall bladder"], ("28231008", "Gallbladder")),
    (&["duodenum"], ("38848004", "Duodenum")),
    (&["esophagus", "oesophagus"], ("32849002", "Esophagus")),
    (&["adrenal gland", "adrenal glands", "adrenal"], ("23451007", "Adrenal gland")),
    (&["small bowel", "small intestine"], ("30315005", "Small intestine")),
    (&["colon"], ("71854001", "Colon")),
    (&["rectum"], ("34402009", "Rectum")),
    (&["urinary bladder", "bladder"], ("89837001", "Bladder")),
    (&["prostate"], ("41216001", "Prostate")),
    (&["uterus"], ("35039007", "Uterus")),
    (&["aorta"], ("15825003", "Aorta")),
    (&["inferior vena cava", "postcava", "ivc"], ("64131007", "Inferior vena cava")),
    (&["superior vena cava"], ("48345005", "Superior vena cava")),
    (&["portal vein"], ("32764006", "Portal vein")),
    (&["hepatic vein"], ("8993003", "Hepatic vein")),
    (&["iliac artery"], ("10293006", "Iliac artery")),
    (&["pulmonary artery"], ("81040000", "Pulmonary artery")),
    (&["heart"], ("80891009", "Heart")),
    (&["lung", "lungs"], ("39607008", "Lung")),
    (&["lung upper lobe"], ("45653009", "Upper lobe of lung")),
    (&["lung middle lobe"], ("72481006", "Middle lobe of right lung")),
    (&["lung lower lobe"], ("90572001", "Lower lobe of lung")),
    (&["trachea"], ("44567001", "Trachea")),
    (&["thyroid", "thyroid gland"], ("69748006", "Thyroid")),
    (&["brain"], ("12738006", "Brain")),
    (&["spinal cord"], ("2748008", "Spinal cord")),
    (&["spine"], ("421060004", "Spine")),
    (&["sacrum"], ("54735007", "Sacrum")),
    (&["femur"], ("71341001", "Femur")),
    (&["humerus"], ("85050009", "Humerus")),
    (&["scapula"], ("79601000", "Scapula")),
    (&["clavicle", "clavicula"], ("51299004", "Clavicle")),
    (&["sternum"], ("56873002", "Sternum")),
    (&["skull"], ("89546000", "Skull")),
    (&["bone", "bones"], ("272673000", "Bone")),
    (&["muscle", "muscles"], ("71616004", "Muscle")),
    (&["vertebra", "vertebrae"], ("51282000", "Vertebra")),
    (&["vertebra c1", "vertebrae c1"], ("14806007", "C1 vertebra")),
    (&["vertebra c2", "vertebrae c2"], ("39976000", "C2 vertebra")),
    (&["vertebra c3", "vertebrae c3"], ("113205007", "C3 vertebra")),
    (&["vertebra c4", "vertebrae c4"], ("5329002", "C4 vertebra")),
    (&["vertebra c5", "vertebrae c5"], ("36978003", "C5 vertebra")),
    (&["vertebra c6", "vertebrae c6"], ("36054005", "C6 vertebra")),
    (&["vertebra c7", "vertebrae c7"], ("87391001", "C7 vertebra")),
    (&["vertebra t1", "vertebrae t1"], ("64864005", "T1 vertebra")),
    (&["vertebra t2", "vertebrae t2"], ("53733008", "T2 vertebra")),
    (&["vertebra t3", "vertebrae t3"], ("1626008", "T3 vertebra")),
    (&["vertebra t4", "vertebrae t4"], ("73071006", "T4 vertebra")),
    (&["vertebra t5", "vertebrae t5"], ("56401006", "T5 vertebra")),
    (&["vertebra t6", "vertebrae t6"], ("45296009", "T6 vertebra")),
    (&["vertebra t7", "vertebrae t7"], ("62487009", "T7 vertebra")),
    (&["vertebra t8", "vertebrae t8"], ("11068009", "T8 vertebra")),
    (&["vertebra t9", "vertebrae t9"], ("82687006", "T9 vertebra")),
    (&["vertebra t10", "vertebrae t10"], ("7610001", "T10 vertebra")),
    (&["vertebra t11", "vertebrae t11"], ("12989004", "T11 vertebra")),
    (&["vertebra t12", "vertebrae t12"], ("23215003", "T12 vertebra")),
    (&["vertebra l1", "vertebrae l1"], ("66794005", "L1 vertebra")),
    (&["vertebra l2", "vertebrae l2"], ("14293000", "L2 vertebra")),
    (&["vertebra l3", "vertebrae l3"], ("36470004", "L3 vertebra")),
    (&["vertebra l4", "vertebrae l4"], ("11994002", "L4 vertebra")),
    (&["vertebra l5", "vertebrae l5"], ("49668003", "L5 vertebra")),
];

/// The last word of a name that tells of a finding, wherever it is: `liver tumour` is one.
const FINDINGS: &[(&[&str], Code)] = &[
    (&["tumor", "tumour", "tumors", "tumours", "cancer", "neoplasm"], ("108369006", "Neoplasm")),
    (&["metastasis", "metastases"], ("14799000", "Neoplasm, Secondary")),
    (&["mass"], ("4147007", "Mass")),
    (&["cyst", "cysts"], ("367643001", "Cyst")),
    (&["nodule", "nodules"], ("27925004", "Nodule")),
    (&["lesion", "lesions"], ("52988006", "Lesion")),
];

/// Puts the category, the type and the side of what is called `name`.
pub(in crate::dicom) fn put(object: &mut InMemDicomObject, name: &str) {
    let category = coded(&words(name).0).0;
    sequence(object, tags::SEGMENTED_PROPERTY_CATEGORY_CODE_SEQUENCE, vec![code("SCT", category)]);
    sequence(object, tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE, vec![kind(name)]);
}

/// The code of the type of what is called `name`.
pub(in crate::dicom) fn kind(name: &str) -> InMemDicomObject {
    let (words, side) = words(name);
    let mut kind = code("SCT", coded(&words).1);
    // The side belongs to the type: it is an item within its code.
    if let Some(side) = side {
        sequence(&mut kind, tags::SEGMENTED_PROPERTY_TYPE_MODIFIER_CODE_SEQUENCE, vec![code("SCT", side)]);
    }
    kind
}

/// True for the name of an organ that is known here.
pub(in crate::dicom) fn is_organ(name: &str) -> bool {
    coded(&words(name).0).0 == STRUCTURE
}

pub(in crate::dicom) fn code(scheme: &str, (value, meaning): (&str, &str)) -> InMemDicomObject {
    item(|object| {
        text(object, tags::CODE_VALUE, VR::SH, value);
        text(object, tags::CODING_SCHEME_DESIGNATOR, VR::SH, scheme);
        text(object, tags::CODE_MEANING, VR::LO, meaning);
    })
}

/// Category and type.
fn coded(words: &[String]) -> (Code, Code) {
    let find = |table: &'static [(&[&str], Code)], name: &str| {
        table.iter().find(|(names, _)| names.contains(&name)).map(|&(_, code)| code)
    };
    let structure = find(STRUCTURES, &words.join(" ")).map(|code| (STRUCTURE, code));
    let finding = || words.last().and_then(|word| find(FINDINGS, word)).map(|code| (MORPHOLOGY, code));
    structure.or_else(finding).unwrap_or((TISSUE, TISSUE))
}

/// The words of a name in lower case, without the side, and the side: `kidney_left`,
/// `Left Kidney` and `kidney_l` are the same.
fn words(name: &str) -> (Vec<String>, Option<Code>) {
    let lower = name.to_lowercase();
    let mut side = None;
    let words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let rest = words.filter(|&word| {
        let found = match word {
            "left" | "l" => Some(LEFT),
            "right" | "r" => Some(RIGHT),
            _ => None,
        };
        side = found.or(side);
        found.is_none()
    });
    (rest.map(str::to_owned).collect(), side)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_find_their_codes() {
        let of = |name: &str| {
            let (words, side) = words(name);
            let (category, kind) = coded(&words);
            (category.1, kind.1, side.map(|code| code.1))
        };
        for name in ["kidney_left", "Left Kidney", "kidney_l"] {
            assert_eq!(of(name), ("Anatomical Structure", "Kidney", Some("Left")), "{name}");
        }
        assert_eq!(of("vertebrae_L1"), ("Anatomical Structure", "L1 vertebra", None));
        assert_eq!(
            of("lung_upper_lobe_right"),
            ("Anatomical Structure", "Upper lobe of lung", Some("Right"))
        );
        assert_eq!(of("liver tumour"), ("Morphologically Abnormal Structure", "Neoplasm", None));
        assert_eq!(of("label 3"), ("Tissue", "Tissue", None));
        assert_eq!(of(""), ("Tissue", "Tissue", None));
    }

    /// Where two entries had one name, the second would never be found.
    #[test]
    fn no_name_stands_twice() {
        let names: Vec<&str> = STRUCTURES.iter().flat_map(|(names, _)| names.iter().copied()).collect();
        let distinct: std::collections::BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(names.len(), distinct.len());
    }
}
