//! Training from the page, in a real browser: three phantoms drawn, a network trained, its predictions corrected, a second
//! one trained, and the table of both. Skipped where there is no chromedriver, or no `polycl` beside the tests.

#[path = "kills/client.rs"]
#[expect(dead_code, reason = "a part of it is for other tests")]
mod client;
#[path = "browser/page.rs"]
#[expect(dead_code, reason = "nothing is drawn with the mouse here")]
mod page;
#[path = "rounds/person.rs"]
mod person;
#[path = "browser/served.rs"]
mod served;

use client::Client;
use page::{Driver, Page};
use person::{LIVER, Person, phantoms};
use polycl_image::nifti;
use polycl_metrics::dice_of;
use polycl_nn::train::RunCard;
use serde_json::json;
use served::{Served, program};

const SIDE: usize = 64;
const SLICES: usize = 12;
const SCANS: usize = 8;
const TRAINED: usize = 3;

fn dice(one: &[u16], other: &[u16]) -> f64 {
    dice_of(one.iter().zip(other).map(|(a, b)| (*a == LIVER, *b == LIVER))).unwrap()
}

#[test]
fn a_network_is_trained_and_its_predictions_are_judged() {
    let (Some(driver), Some(_)) = (Driver::start(), program()) else {
        eprintln!("skipped: no chromedriver, or no polycl beside the tests; cargo test --workspace");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let images = phantoms(folder.path(), SCANS, SIDE, SLICES);
    let served = Served::start(&images);
    let (address, token) = served.url.strip_prefix("http://").unwrap().split_once("/?token=").unwrap();
    let client = Client { address: address.to_owned(), token: token.to_owned() };
    let person = Person { client: &client, images: &images };
    client.post("/api/session", &json!({"who": "Ann"})).unwrap();
    for row in person.rows().iter().take(TRAINED) {
        person.review(row);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let page = Page::open(&driver, &served.url).await;
        train(&page, 1).await;
        let expected = first_judgement(&person, &images);
        let cell = |round: usize, class: &str| {
            format!("document.querySelector('#rounds tr[data-round=\"{round}\"] .{class}').textContent")
        };
        page.until(&format!("{} === '{:.3} (1 scan)'", cell(1, "free-dice"), expected.unseen)).await;
        page.until(&format!("{} === '{:.3} (2 scans)'", cell(1, "corrected-dice"), expected.corrected)).await;
        let voxels = page.ask(&cell(1, "voxels")).await;
        assert_eq!(voxels.as_str().unwrap().replace(',', ""), expected.voxels.to_string());
        train(&page, 2).await;
        assert_eq!(page.ask(&cell(2, "corrected-dice")).await, "none yet");
        assert_eq!(page.ask("bench.session.predictor").await, "round 2");
        page.close().await;
    });
    let card = RunCard::read(&images.join("polycl/rounds/2/network")).unwrap();
    assert_eq!(card.training_cases.len(), TRAINED + 3);
    served.stop();
}

/// Trains on all reviewed scans through the dialog, in seconds.
async fn train(page: &Page, round: usize) {
    page.until("!document.getElementById('train-open').hidden").await;
    page.click("#train-open").await;
    if round == 1 {
        page.click("#train-settings summary").await;
        for (name, number) in [("epochs", "2"), ("steps", "20"), ("size", "32")] {
            page.click(&format!("#train-settings [name={name}]")).await;
            page.write(number).await;
        }
    }
    page.until(&format!("document.getElementById('train-count').textContent === '({})'", 3 * round)).await;
    page.click("#train-run").await;
    page.until("bench.rounds.now?.running").await;
    page.until(&format!(
        "bench.rounds.now === null && bench.rounds.rounds.length === {round} && bench.rounds.rounds.at(-1).step === 'done'"
    ))
    .await;
    assert_eq!(page.ask("document.querySelectorAll('#train-curve svg').length").await, 1);
    assert_eq!(page.ask("document.getElementById('train-error').textContent").await, "");
    page.click("#train-close").await;
    // Predictions are in the queue, before all that nobody has proposed anything for.
    let states = "[...document.querySelectorAll('#rows .chip')].map((chip) => chip.dataset.state).join()";
    let expected = ["predicted,predicted,predicted,predicted,untouched", "predicted"][round - 1];
    page.until(&format!("{states}.startsWith('{expected}')")).await;
    if round == 1 {
        page.until(
            "[...document.querySelectorAll('#rows tr')].some((row) => row.textContent.includes('held back'))",
        )
        .await;
    }
}

struct Expected {
    unseen: f64,
    corrected: f64,
    voxels: u64,
}

/// Corrects two predictions and draws the scan that is held back; what the table should say of that.
fn first_judgement(person: &Person<'_>, images: &std::path::Path) -> Expected {
    let rows = person.rows();
    let proposed: Vec<_> = rows.iter().filter(|row| row.state == "predicted").take(2).collect();
    let (mut sum, mut voxels) = (0.0, 0);
    for row in &proposed {
        let before = person.mask(&row.id);
        let truth = person.review(row);
        sum += dice(&before, &truth);
        voxels += before.iter().zip(&truth).filter(|(a, b)| a != b).count() as u64;
    }
    let held = person.until("a scan is held back", |rounds| {
        rounds["held_back"].as_array()?.first()?.as_str().map(str::to_owned)
    });
    let row = rows.iter().find(|row| row.id == held).unwrap();
    assert_eq!(row.state, "untouched");
    let truth = person.review(row);
    let unseen = person.until("the held-back scan is measured", |rounds| {
        let of_one = &rounds["rounds"][0]["unseen"];
        (of_one["scans"] == 1).then(|| of_one["dice"].as_f64().unwrap())
    });
    // The same by the command line.
    let out = images.with_file_name("predicted");
    let status = std::process::Command::new(program().unwrap())
        .arg("predict")
        .args([images.join("polycl/rounds/1/network"), images.join(format!("{}.nii.gz", row.name))])
        .arg("--out")
        .arg(&out)
        .stderr(std::process::Stdio::null())
        .status();
    assert!(status.unwrap().success());
    let mask = nifti::read_mask(&out.join(format!("{}.nii.gz", row.name))).unwrap();
    let mask = polycl_image::orient::Reorientation::to_canonical(&mask.space).apply(&mask);
    assert!(
        (dice(&mask.voxels, &truth) - unseen).abs() < 1e-9,
        "{} by predict, {unseen}",
        dice(&mask.voxels, &truth)
    );
    person.until("both corrected scans are measured", |rounds| {
        (rounds["rounds"][0]["corrected"]["scans"] == 2).then_some(())
    });
    Expected { unseen, corrected: sum / 2.0, voxels: (voxels as f64 / 2.0).round() as u64 }
}
