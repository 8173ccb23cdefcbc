//! Planes resized as other programs do it; the numbers and their generator are in
//! `tests/reference/resize/`.

use polycl_image::resize;
use serde_json::Value;

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn sides(value: &Value) -> [usize; 2] {
    let sides = numbers(value);
    [sides[0] as usize, sides[1] as usize]
}

#[track_caller]
fn close(what: &str, found: &[f32], expected: &Value) {
    let expected = numbers(expected);
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        assert!((f64::from(*found) - expected).abs() < 2e-3, "{what}: {found}, not {expected}");
    }
}

#[test]
fn as_pil_torch_and_skimage_resize() {
    let text = include_str!("reference/resize/cases.json");
    let reference: Value = serde_json::from_str(text).unwrap();
    for case in reference["cases"].as_array().unwrap() {
        let (before, after) = (sides(&case["before"]), sides(&case["after"]));
        let bytes: Vec<u8> = numbers(&case["plane"]).iter().map(|&x| x as u8).collect();
        let plane: Vec<f32> = bytes.iter().map(|&x| f32::from(x)).collect();
        let what = |how: &str| format!("{before:?} to {after:?}, {how}");
        let pil = |how: &str| numbers(&case[how]).iter().map(|&x| x as u8).collect::<Vec<u8>>();
        assert_eq!(resize::antialiased_bytes(&bytes, before, after), pil("pil"), "{}", what("PIL"));
        assert_eq!(
            resize::bicubic_bytes(&bytes, before, after),
            pil("pil_bicubic"),
            "{}",
            what("PIL, bicubic")
        );
        close(&what("antialiased"), &resize::antialiased(&plane, before, after), &case["antialiased"]);
        close(&what("interpolated"), &resize::interpolated(&plane, before, after), &case["interpolated"]);
        if case.get("cubic").is_some() {
            close(&what("cubic"), &resize::cubic(&plane, before, after), &case["cubic"]);
        }
    }
}
