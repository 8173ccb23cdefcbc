use anyhow::Context;

use crate::ended::Ended;
use crate::talk;

/// Pages that belong to no single command.
const TOPICS: [(&str, &str); 2] =
    [("formats", include_str!("help/formats.txt")), ("workflow", include_str!("help/workflow.txt"))];

/// Explain a command, or a topic: formats, workflow
#[derive(clap::Args)]
#[command(after_help = "Example:\n  polycl help formats")]
pub struct Args {
    /// Command, such as `import` or `bench step`, or topic: formats, workflow
    #[arg(value_name = "COMMAND|TOPIC")]
    words: Vec<String>,
}

/// Prints a page; without words, that of the whole `command`.
pub fn run(Args { words }: &Args, mut command: clap::Command) -> anyhow::Result<Ended> {
    if let Some((_, page)) = TOPICS.iter().find(|(topic, _)| words == &[*topic]) {
        talk::data(page);
        return Ok(Ended::Done);
    }
    command.build();
    let mut found = &mut command;
    for word in words {
        found = found.find_subcommand_mut(word).with_context(|| {
            format!("{word}: expected a command (see polycl --help) or a topic: formats, workflow")
        })?;
    }
    talk::data(found.render_long_help());
    Ok(Ended::Done)
}
