//! A study whose trainings somebody else does: the seam at which a cluster docks.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use polycl_app::import::{self, Scans};
use polycl_app::study::{self, End, Event, Runner, Task, Ticket};
use polycl_base::Watch;
use polycl_image::preprocess::Preprocess;
use polycl_phantom::{Config, Domain, cohort};

/// Takes tasks on and fails each at its second look, with the words of its first command.
#[derive(Default)]
struct Failing(Vec<Option<(Task, bool)>>);

impl Runner for Failing {
    fn submit(&mut self, task: Task) -> Ticket {
        self.0.push(Some((task, false)));
        Ticket(self.0.len() - 1)
    }

    fn poll(&mut self, Ticket(number): Ticket) -> Option<anyhow::Result<()>> {
        let (task, seen) = self.0[number].as_mut()?;
        if !std::mem::replace(seen, true) {
            return None;
        }
        std::fs::create_dir_all(task.folder()).unwrap();
        let words = task.next_command().unwrap().unwrap();
        self.0[number] = None;
        Some(Err(anyhow::anyhow!("nobody runs {}", words[0])))
    }

    fn cancel(&mut self, _: Ticket) {}
}

#[derive(Default)]
struct Names(Mutex<Vec<String>>);

impl Watch for Names {
    fn partial(&self, result: &dyn Any) {
        if let Some(Event::Began { name, .. }) = result.downcast_ref() {
            self.0.lock().unwrap().push(name.clone());
        }
    }
}

fn data_set(folder: &Path, name: &str, patients: usize, seed: u64) {
    let files = folder.join(format!("{name}-files"));
    let config = Config { seed, domain: Domain::A, size: 32, slices: Some(12) };
    cohort::write(&config, 0..patients, &files, &()).unwrap();
    let request = import::Request {
        scans: Scans::Manifest { file: files.join("manifest.csv"), names: None },
        origin: None,
        ranges: None,
        drawn: None,
        only: Default::default(),
        out: folder.join(name),
        go_on: false,
        preprocess: Preprocess { size: 32, ..Preprocess::default() },
        trust: Default::default(),
        fill_gaps: false,
        shard: None,
    };
    import::run(&request, &()).unwrap();
}

#[test]
fn another_runner_does_the_trainings() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    data_set(folder, "train", 4, 1);
    data_set(folder, "near", 2, 2);
    let text = format!(
        "dataset = '{0}/train'\norgans = ['liver']\nmethods = ['scratch', 'scan']\nbudgets = [1]\nseeds = [0]\nimages = 48\n\
         [pretraining.training]\nepochs = 1\n[[test]]\nname = 'near'\ndataset = '{0}/near'\nnamesakes = true\n",
        folder.display()
    );
    std::fs::write(folder.join("study.toml"), text).unwrap();
    let request = study::Request {
        config: folder.join("study.toml"),
        out: folder.join("study"),
        jobs: Some(2),
        cores: 2,
        part: study::Part::Whole,
        claims: false,
        patience: std::time::Duration::from_secs(60),
        program: PathBuf::from("nowhere"),
    };
    let names = Names::default();
    let outcome = study::run_on(&request, &mut Failing::default(), &names).unwrap();
    assert_eq!(outcome.end, End::NothingToReport);
    let failed: Vec<&str> = outcome.failed.iter().map(|failed| failed.words.as_str()).collect();
    // The fine-tuning of what was to be pre-trained is not even submitted.
    let expected = ["nobody runs finetune", "nobody runs pretrain", "the pre-training before it failed"];
    let mut sorted = failed.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, expected, "{failed:?}");
    assert_eq!(names.0.into_inner().unwrap().len(), 3);
}
