//! A person's way through the page, in a real browser: what was drawn with the mouse is what the mask holds, voxel by voxel.
//! Skipped where there is no chromedriver (`apt-get install chromium chromium-driver`).

mod browser {
    pub mod hand;
    pub mod page;
    pub mod served;
}

use std::time::{Duration, Instant};

use browser::hand::{Drawing, View};
use browser::page::{Driver, Page};
use browser::served::Served;
use fantoccini::key::Key;
use glam::{DAffine3, DMat3, DVec3};
use polycl_image::orient::Reorientation;
use polycl_image::{Mask, Plane, Space, Volume, nifti};

const LIVER: u16 = 1;

/// Axial slices from head to feet, and a sheared scan in sagittal slices.
fn scans() -> [(&'static str, Space); 2] {
    let axial = DMat3::from_diagonal(DVec3::new(1.5, -1.5, -4.0));
    let sheared =
        DMat3::from_cols(DVec3::new(0.1, -1.4, 0.1), DVec3::new(0.05, 0.3, -1.6), DVec3::new(3.0, 0.2, 0.1));
    let space =
        |shape, matrix3| Space::new(shape, DAffine3 { matrix3, translation: DVec3::new(-40.0, 25.0, 310.0) });
    [("a-axial", space([64, 56, 20], axial)), ("b-sheared", space([60, 50, 16], sheared))]
}

/// A bright ball in soft tissue, in the middle of a scan.
fn ball(space: &Space) -> Volume<f32> {
    let [nx, ny, nz] = space.shape;
    let middle = space.world_from_voxel.transform_point3(DVec3::new(nx as f64, ny as f64, nz as f64) / 2.0);
    let value = |at: usize| {
        let voxel = DVec3::new((at % nx) as f64, (at / nx % ny) as f64, (at / nx / ny) as f64);
        let away = space.world_from_voxel.transform_point3(voxel).distance(middle);
        if away < 18.0 { 120.0 } else { -120.0 + (at % 7) as f32 }
    };
    Volume { space: space.clone(), voxels: (0..space.voxels()).map(value).collect() }
}

#[test]
fn from_one_drawn_slice_to_a_reviewed_volume() {
    let Some(driver) = Driver::start() else {
        eprintln!("skipped: no chromedriver; apt-get install chromium chromium-driver");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for (name, space) in scans() {
        nifti::write_image(&folder.path().join(format!("{name}.nii.gz")), &ball(&space)).unwrap();
    }
    let served = Served::start(folder.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let page = Page::open(&driver, &served.url).await;
        sign_in(&page).await;
        let drawn = first_scan(&page).await;
        compare(folder.path(), "a-axial", &drawn);
        let drawn = second_scan(&page).await;
        compare(folder.path(), "b-sheared", &drawn);
        page.press("q").await;
        page.until("document.querySelectorAll('#rows [data-state=reviewed]').length === 2").await;
        page.close().await;
    });
    served.stop();
}

async fn sign_in(page: &Page) {
    page.until("document.getElementById('name-dialog').open").await;
    page.write("Ann").await;
    page.press(Key::Enter).await;
    page.until("document.querySelectorAll('#rows button.open').length === 2 && !document.querySelector('dialog[open]')").await;
}

/// Draws in two slices, interpolates, propagates where there is a network, mends, reloads, and marks as reviewed.
async fn first_scan(page: &Page) -> Vec<u16> {
    page.click("button[aria-label='Open a-axial']").await;
    page.until("bench.scan?.loaded && bench.scan.voxels.loaded === bench.scan.shape[2]").await;
    let mut drawing = Drawing::new(&scans()[0].1);
    page.press("b").await;
    let view = View::of(page, Plane::Axial).await;
    for steps in [0, 4] {
        page.press_often(Key::Up, steps).await;
        let slice = page.slice().await;
        let path =
            [[24.0, 22.0], [38.0, 22.0], [38.0, 34.0], [24.0, 34.0], [24.0, 22.0]].map(|at| view.client(at));
        page.drag(&path).await;
        drawing.sweep(&view, slice, &path, page.number("bench.brush.size / 2").await, LIVER);
        drawing.check(page).await;
    }
    page.press("i").await;
    page.until("/d[pv]{3}d/.test(bench.scan.slicesOf(1))").await;
    drawing.take(page).await;
    propagate(page, &mut drawing).await;
    mend(page, &mut drawing).await;
    page.reload().await;
    page.until("bench.scan?.loaded").await;
    drawing.check(page).await;
    assert_eq!(page.ask("bench.tool").await, "eraser");
    review(page).await;
    drawing.voxels
}

async fn propagate(page: &Page, drawing: &mut Drawing) {
    if page.ask("bench.session.network.ready").await != true {
        eprintln!("skipped: no weights to propagate with; polycl fetch litemedsam");
        return;
    }
    page.press("p").await;
    page.until("bench.scan.job && bench.scan.previewed.size > 0").await;
    page.until("!bench.scan.job && bench.scan.previewed.size === 0").await;
    page.until("!document.getElementById('next-slice').hidden").await;
    let before = drawing.voxels.clone();
    drawing.take(page).await;
    assert_ne!(drawing.voxels, before, "propagation found nothing");
    assert_eq!(drawing.by_hand(&before), drawing.by_hand(&drawing.voxels), "what a person drew has changed");
    page.press_with(Key::Control, "z").await;
    page.until("bench.scan.redoable === 1").await;
    drawing.voxels.clone_from(&before);
    drawing.check(page).await;
    page.press_with(Key::Control, "y").await;
    page.until("bench.scan.redoable === 0").await;
    drawing.take(page).await;
}

/// Erases in a slice of the machine's, takes it back, and does it again.
async fn mend(page: &Page, drawing: &mut Drawing) {
    let proposed = page.number("bench.scan.slicesOf(1).indexOf('p')").await as usize;
    let here = page.slice().await;
    let way = if proposed < here { Key::Down } else { Key::Up };
    page.press_often(way, proposed.abs_diff(here)).await;
    assert_eq!(page.slice().await, proposed);
    page.press("e").await;
    let view = View::of(page, Plane::Axial).await;
    let path = [[20.0, 20.0], [42.0, 24.0]].map(|at| view.client(at));
    page.drag(&path).await;
    let before = drawing.voxels.clone();
    drawing.sweep(&view, page.slice().await, &path, page.number("bench.brush.size / 2").await, 0);
    drawing.check(page).await;
    let after = std::mem::replace(&mut drawing.voxels, before);
    page.press_with(Key::Control, "z").await;
    page.until("bench.scan.redoable === 1").await;
    drawing.check(page).await;
    page.press_with(Key::Control, "y").await;
    page.until("bench.scan.redoable === 0").await;
    drawing.voxels = after;
    drawing.check(page).await;
}

async fn review(page: &Page) {
    page.press("m").await;
    page.until("bench.scan.state === 'reviewed' || document.getElementById('ask-dialog').open").await;
    if page.ask("document.getElementById('ask-dialog').open").await == true {
        page.click("#ask-buttons button[value=mark]").await;
    }
    page.until("bench.scan.state === 'reviewed'").await;
}

/// A scan on which nothing is drawn is not reviewed with one key.
async fn empty_review_is_asked_about(page: &Page) {
    page.press("m").await;
    page.until("document.getElementById('ask-dialog').open").await;
    let question = page.ask("document.getElementById('ask-text').textContent").await;
    assert_eq!(question, "This scan has no mask. Mark it as reviewed with nothing in it?");
    page.press(Key::Enter).await;
    page.until("!document.querySelector('dialog[open]')").await;
    assert_eq!(page.ask("bench.scan.state").await, "untouched");
}

/// Opens the next scan, and draws a polygon in a coronal plane and a lasso in a sagittal one.
async fn second_scan(page: &Page) -> Vec<u16> {
    page.press("n").await;
    page.until("bench.scan?.name === 'b-sheared' && bench.scan.loaded").await;
    empty_review_is_asked_about(page).await;
    let mut drawing = Drawing::new(&scans()[1].1);
    for (plane, tool) in [(Plane::Coronal, "g"), (Plane::Sagittal, "l")] {
        page.press("o").await;
        page.press(tool).await;
        let view = View::of(page, plane).await;
        let corners =
            [[0.3, 0.3], [0.7, 0.35], [0.6, 0.75], [0.35, 0.6]].map(|part| view.client(view.part(part)));
        if tool == "g" {
            let [first, second, third, last] = corners;
            for corner in [first, second, third] {
                page.click_at(corner).await;
            }
            page.double_click_at(last).await;
            page.until("bench.toolAtWork.points.length === 0").await;
        } else {
            page.drag(&corners).await;
        }
        drawing.fill(&view, page.slice().await, &corners, LIVER);
        drawing.check(page).await;
    }
    let there = page.centre_of(LIVER).await;
    assert!(there.distance(drawing.centre()) < 1e-3, "the page says {there}, the file {}", drawing.centre());
    review(page).await;
    drawing.voxels
}

/// The mask that is written within ten seconds of the last change, against what was drawn.
fn compare(folder: &std::path::Path, name: &str, drawn: &[u16]) {
    let image = nifti::read_image(&folder.join(format!("{name}.nii.gz"))).unwrap();
    let order = Reorientation::to_canonical(&image.space);
    let expected =
        order.invert(&Volume { space: order.space(&image.space), voxels: drawn.to_vec() }, &image.space);
    let file = folder.join(format!("polycl/masks/{name}.nii.gz"));
    let start = Instant::now();
    let is_late = || start.elapsed() > Duration::from_secs(20);
    while !is_late() && !nifti::read_mask(&file).is_ok_and(|mask| mask.voxels == expected.voxels) {
        std::thread::sleep(Duration::from_millis(200));
    }
    let mask: Mask = nifti::read_mask(&file).unwrap();
    assert_eq!(mask.space.shape, image.space.shape);
    let away = |corner: DVec3| {
        mask.space
            .world_from_voxel
            .transform_point3(corner)
            .distance(image.space.world_from_voxel.transform_point3(corner))
    };
    assert!([DVec3::ZERO, DVec3::splat(15.0)].into_iter().all(|corner| away(corner) < 1e-3));
    let wrong = mask.voxels.iter().zip(&expected.voxels).filter(|(one, other)| one != other).count();
    assert!(expected.voxels.contains(&LIVER));
    assert_eq!(wrong, 0, "voxels of {name} that are not as drawn");
}
