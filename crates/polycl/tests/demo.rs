//! The demo on the fetched scan; that on phantoms runs in `.ci/run`.

mod common;

use common::{Folder, fetched, text};

/// Where `lidc-sample` has not been fetched, this says so and does nothing.
#[test]
fn the_road_on_one_real_scan_claims_nothing() {
    let Some(sample) = fetched("lidc-sample", "labels/polycl.json") else { return };
    let folder = Folder::new();
    let shown = folder.done("demo --quick --data lidc-sample --out demo");
    assert!(shown.contains("1 scan (1 labelled: 1 predicted)"), "{shown}");
    assert!(shown.contains("lidc0001 trained this network: do not report its score"), "{shown}");
    assert!(!shown.contains("$ polycl evaluate"), "scores against a machine's mask: {shown}");
    let report = text(&folder, "demo/report.html");
    for said in [
        "No person drew its masks",
        "the very scan that they were trained on",
        "nothing was validated, nothing here is an accuracy",
        "<th>seen in training</th>",
        "<td>lidc0001</td><td>yes</td>",
        "Masks that each network learnt from: 1 predicted.",
    ] {
        assert!(report.contains(said), "not in the report: {said}");
    }
    assert_eq!(report.matches("<img ").count(), 2);
    // The sample itself: what import takes for truth, a reference must not be.
    let labels = sample.join("labels");
    let line = format!("evaluate --reference {0} --prediction {0} --out scores", labels.display());
    let refused = folder.polycl(&line);
    assert!(refused.starts_with("exit 2") && refused.contains("a machine made (predicted)"), "{refused}");
}
