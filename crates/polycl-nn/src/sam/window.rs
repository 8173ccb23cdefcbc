//! The intensity window in which a network sees an organ best.

/// Centre and width in HU. A network that was trained on soft tissue is blind in a lung.
const SOFT_TISSUE: [f32; 2] = [40.0, 400.0];
const LUNG: [f32; 2] = [-600.0, 1500.0];
const BONE: [f32; 2] = [400.0, 1800.0];
const BRAIN: [f32; 2] = [40.0, 80.0];

/// Beginnings of words in names, as TotalSegmentator and others spell them, and their windows; the
/// first that fits counts.
const PRESETS: [(&str, [f32; 2]); 18] = [
    ("lung", LUNG),
    ("trachea", LUNG),
    ("bronch", LUNG),
    ("airway", LUNG),
    ("vertebra", BONE),
    ("rib", BONE),
    ("sacrum", BONE),
    ("hip", BONE),
    ("femur", BONE),
    ("humerus", BONE),
    ("scapula", BONE),
    ("clavic", BONE),
    ("sternum", BONE),
    ("skull", BONE),
    ("spine", BONE),
    ("bone", BONE),
    ("mandible", BONE),
    ("brain", BRAIN),
];

/// The window for an organ of this name; soft tissue where the name says nothing.
pub fn window_of(name: Option<&String>) -> [f32; 2] {
    let name = name.map_or("", String::as_str);
    // "LeftLung" is two words.
    let spread: String =
        name.chars().flat_map(|c| c.is_uppercase().then_some(' ').into_iter().chain([c])).collect();
    let name = format!("{} {}", name.to_lowercase(), spread.to_lowercase());
    let words: Vec<&str> = name.split(|c: char| !c.is_alphanumeric()).collect();
    // Short ones begin other words, too ("hippocampus").
    let fits = |start: &str, word: &str| match start.len() {
        0..=3 => word.trim_end_matches(|c: char| c == 's' || c.is_numeric()) == start,
        _ => word.starts_with(start) || start == "lung" && word.ends_with("lung"),
    };
    let found = PRESETS.iter().find(|(start, _)| words.iter().any(|word| fits(start, word)));
    found.map_or(SOFT_TISSUE, |(_, window)| *window)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_by_name() {
        assert_eq!(window_of(Some(&"Lung_upper_lobe_left".to_owned())), LUNG);
        assert_eq!(window_of(Some(&"vertebrae_L1".to_owned())), BONE);
        for lung in ["LeftLung", "RLung", "leftlung", "lungs"] {
            assert_eq!(window_of(Some(&lung.to_owned())), LUNG, "{lung}");
        }
        assert_eq!(window_of(Some(&"Ribs".to_owned())), BONE);
        assert_eq!(window_of(Some(&"rib_left_4".to_owned())), BONE);
        assert_eq!(window_of(Some(&"hippocampus".to_owned())), SOFT_TISSUE);
        assert_eq!(window_of(Some(&"liver".to_owned())), SOFT_TISSUE);
        assert_eq!(window_of(None), SOFT_TISSUE);
    }
}
