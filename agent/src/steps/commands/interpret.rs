//! What each command does. One function a family, in the order of GitHub's `ActionCommandManager`.

use super::super::annotations::{Annotation, Level};
use super::super::lines::{Line, MAX_LINE_BYTES, Stream};
use super::parse::{Command, may_be_command, parse};
use super::{CommandOptions, Commands, Effect, LineOutcome};

const STOP: &str = "stop-commands";

const NAMES: [&str; 15] = [
    STOP,
    "add-mask",
    "add-matcher",
    "add-path",
    "debug",
    "echo",
    "endgroup",
    "error",
    "group",
    "notice",
    "remove-matcher",
    "save-state",
    "set-env",
    "set-output",
    "warning",
];

/// Commands that are never echoed: their text is shown, or must not be.
const NEVER_ECHOED: [&str; 5] = ["add-mask", "debug", "error", "notice", "warning"];

/// Commands whose line may as well be shown as it is when it is too long to be a command.
const HARMLESS: [&str; 6] = ["debug", "endgroup", "error", "group", "notice", "warning"];

/// A stop token this long is masked (GitHub: more than six characters).
const MIN_MASKED_STOP_TOKEN_CHARS: usize = 7;

impl Commands {
    /// Whether a line is sure to be no command; nearly all are, and [`Commands::interpret`] would give them back as they are.
    pub fn passes(&mut self, line: &Line<'_>) -> bool {
        let passes = !line.continues && !line.partial && !may_be_command(&line.text);
        if passes && let Some(swallowing) = self.swallowing.get_mut(slot(line.stream)) {
            *swallowing = false;
        }
        passes
    }

    /// Interprets a line. Commands are recognised in lines of at most [`MAX_LINE_BYTES`]; a longer one is an error
    /// and is not shown, because it may hold what was to be masked.
    pub fn interpret(&mut self, line: &Line<'_>, options: &CommandOptions) -> LineOutcome {
        let slot = slot(line.stream);
        if line.continues {
            let swallowed = self.swallowing.get(slot).copied().unwrap_or(false);
            return if swallowed { LineOutcome::default() } else { plain(line) };
        }
        let command = may_be_command(&line.text)
            .then(|| parse(&String::from_utf8_lossy(&line.text), |name| self.is_command(name)))
            .flatten();
        let refused = line.partial
            && self.stop_token.is_none()
            && command.as_ref().is_some_and(|command| !HARMLESS.iter().any(|name| command.is(name)));
        if let Some(swallowing) = self.swallowing.get_mut(slot) {
            *swallowing = refused;
        }
        match command {
            Some(command) if refused => refuse_long(&command),
            Some(command) if !line.partial => self.run(line, &command, options),
            _ => plain(line),
        }
    }

    fn is_command(&self, name: &str) -> bool {
        NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
            || self.stop_token.as_ref().is_some_and(|token| name.eq_ignore_ascii_case(token))
    }

    fn run(&mut self, line: &Line<'_>, command: &Command, options: &CommandOptions) -> LineOutcome {
        let mut outcome = LineOutcome::default();
        if let Some(token) = &self.stop_token {
            outcome.texts.push(line.text.to_vec());
            if command.is(token) {
                self.stop_token = None;
                debug(&mut outcome, options, "Resume processing commands");
            }
            return outcome;
        }
        let echoed = !NEVER_ECHOED.iter().any(|name| command.is(name));
        if self.echo.unwrap_or(options.debug) && echoed && !command.is(STOP) {
            outcome.texts.push(line.text.to_vec());
        }
        if let Err(reason) = self.process(line, command, options, &mut outcome) {
            let shown = String::from_utf8_lossy(&line.text);
            let what = if echoed { shown.as_ref() } else { command.name.as_str() };
            outcome.remark(Level::Error, &format!("Unable to process command '{what}' successfully."));
            outcome.remark(Level::Error, &reason);
            outcome.effects.push(Effect::FailStep);
        }
        outcome
    }

    /// An error is GitHub's text for the log; it fails the step.
    fn process(
        &mut self,
        line: &Line<'_>,
        command: &Command,
        options: &CommandOptions,
        outcome: &mut LineOutcome,
    ) -> Result<(), String> {
        match command.name.to_ascii_lowercase().as_str() {
            STOP => self.stop(line, command, options, outcome)?,
            "echo" => self.set_echo(command, options, outcome)?,
            "add-mask" => self.add_mask(command, options, outcome),
            "set-output" => {
                outcome.remark(Level::Warning, &deprecated("set-output"));
                let name = required_name(command, "set-output")?;
                debug(outcome, options, &format!("Set output {name} = {}", command.data));
                outcome.effects.push(Effect::SetOutput { name, value: command.data.clone() });
            }
            "save-state" => {
                outcome.remark(Level::Warning, &deprecated("save-state"));
                let name = required_name(command, "save-state")?;
                debug(outcome, options, &format!("Save intra-action state {name} = {}", command.data));
                outcome.effects.push(Effect::SaveState { name, value: command.data.clone() });
            }
            "set-env" => set_env(command, options, outcome)?,
            "add-path" => add_path(command, options, outcome)?,
            "debug" => debug(outcome, options, &command.data),
            "notice" => annotate(Level::Notice, command, options, outcome),
            "warning" => annotate(Level::Warning, command, options, outcome),
            "error" => annotate(Level::Error, command, options, outcome),
            "group" => outcome.say("group", &command.data),
            "endgroup" => outcome.say("endgroup", ""),
            "add-matcher" => {
                if command.data.is_empty() {
                    outcome.remark(Level::Warning, "File path must be specified.");
                } else {
                    outcome.effects.push(Effect::AddMatchers(command.data.clone()));
                }
            }
            "remove-matcher" => remove_matcher(command, outcome),
            _ => outcome.texts.push(line.text.to_vec()),
        }
        Ok(())
    }

    fn stop(
        &mut self,
        line: &Line<'_>,
        command: &Command,
        options: &CommandOptions,
        outcome: &mut LineOutcome,
    ) -> Result<(), String> {
        let token = &command.data;
        let invalid =
            token.is_empty() || token.eq_ignore_ascii_case("pause-logging") || self.is_command(token);
        if invalid && !options.allow_unsecure_stop_tokens {
            return Err(STOP_TOKEN_REFUSED.to_owned());
        }
        if token.chars().count() >= MIN_MASKED_STOP_TOKEN_CHARS {
            outcome.effects.push(Effect::AddMask(token.clone()));
        }
        outcome.texts.push(line.text.to_vec());
        debug(
            outcome,
            options,
            "Paused processing commands until the token you called ::stopCommands:: with is received",
        );
        self.stop_token = Some(token.clone());
        Ok(())
    }

    fn set_echo(
        &mut self,
        command: &Command,
        options: &CommandOptions,
        outcome: &mut LineOutcome,
    ) -> Result<(), String> {
        let on = match command.data.trim().to_ascii_lowercase().as_str() {
            "on" => true,
            "off" => false,
            _ => {
                return Err(format!(
                    "Invalid echo command value. Possible values can be: 'on', 'off'. Current value is: '{}'.",
                    command.data
                ));
            }
        };
        self.echo = Some(on);
        debug(
            outcome,
            options,
            &format!("Setting echo command value to '{}'", if on { "on" } else { "off" }),
        );
        Ok(())
    }

    fn add_mask(&self, command: &Command, options: &CommandOptions, outcome: &mut LineOutcome) {
        if command.data.trim().is_empty() {
            outcome.remark(Level::Warning, "Can't add secret mask for empty string in ##[add-mask] command.");
            return;
        }
        if self.echo.unwrap_or(options.debug) {
            outcome.texts.push(b"::add-mask::***".to_vec());
        }
        outcome.effects.push(Effect::AddMask(command.data.clone()));
    }
}

impl Command {
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

const STOP_TOKEN_REFUSED: &str = "You cannot use a endToken that is an empty string, the string 'pause-logging', or \
    another workflow command. For more information see: \
    https://docs.github.com/actions/learn-github-actions/workflow-commands-for-github-actions#example-stopping-and-starting-workflow-commands \
    or opt into insecure command execution by setting the `ACTIONS_ALLOW_UNSECURE_STOPCOMMAND_TOKENS` environment \
    variable to `true`.";

fn deprecated(command: &str) -> String {
    format!(
        "The `{command}` command is deprecated and will be disabled soon. Please upgrade to using Environment Files. \
         For more information see: \
         https://github.blog/changelog/2022-10-11-github-actions-deprecating-save-state-and-set-output-commands/"
    )
}

fn disabled(command: &str) -> String {
    format!(
        "The `{command}` command is disabled. Please upgrade to using Environment Files or opt into unsecure command \
         execution by setting the `ACTIONS_ALLOW_UNSECURE_COMMANDS` environment variable to `true`. For more \
         information see: \
         https://github.blog/changelog/2020-10-01-github-actions-deprecating-set-env-and-add-path-commands/"
    )
}

/// Where a stream's switches are.
fn slot(stream: Stream) -> usize {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
    }
}

fn plain(line: &Line<'_>) -> LineOutcome {
    LineOutcome { texts: vec![line.text.to_vec()], effects: Vec::new() }
}

fn refuse_long(command: &Command) -> LineOutcome {
    let mut outcome = LineOutcome::default();
    outcome.remark(
        Level::Error,
        &format!(
            "The `{}` command is longer than {} KiB and is not processed. Write the value to an environment file, or \
             in several commands.",
            command.name,
            MAX_LINE_BYTES / 1024
        ),
    );
    outcome.effects.push(Effect::FailStep);
    outcome
}

fn debug(outcome: &mut LineOutcome, options: &CommandOptions, message: &str) {
    if options.debug {
        for line in message.split('\n') {
            outcome.say("debug", line.trim_end_matches('\r'));
        }
    }
}

fn annotate(level: Level, command: &Command, options: &CommandOptions, outcome: &mut LineOutcome) {
    let mut remarks = Vec::new();
    let annotation =
        Annotation::from_command(level, &command.properties, &command.data, &options.workspace, &mut remarks);
    for remark in remarks {
        debug(outcome, options, &remark);
    }
    outcome.annotate(annotation);
}

fn required_name(command: &Command, shown: &str) -> Result<String, String> {
    command
        .properties
        .get("name")
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .ok_or_else(|| format!("Required field 'name' is missing in ##[{shown}] command."))
}

fn set_env(command: &Command, options: &CommandOptions, outcome: &mut LineOutcome) -> Result<(), String> {
    if !options.allow_unsecure_commands {
        return Err(disabled("set-env"));
    }
    let name = required_name(command, "set-env")?;
    if name.eq_ignore_ascii_case("NODE_OPTIONS") {
        outcome.remark(
            Level::Error,
            "Can't update NODE_OPTIONS environment variable using ::set-env:: command.",
        );
        return Ok(());
    }
    if name.contains(['=', '\0']) || command.data.contains('\0') {
        return Err(format!(
            "Environment variable '{name}' cannot be set. Its name may not hold '=', and neither may hold NUL"
        ));
    }
    debug(outcome, options, &format!("{name}='{}'", command.data));
    outcome.effects.push(Effect::SetEnv { name, value: command.data.clone() });
    Ok(())
}

fn add_path(command: &Command, options: &CommandOptions, outcome: &mut LineOutcome) -> Result<(), String> {
    if !options.allow_unsecure_commands {
        return Err(disabled("add-path"));
    }
    if command.data.is_empty() || command.data.contains('\0') {
        return Err("Value cannot be null. (Parameter 'path')".to_owned());
    }
    outcome.effects.push(Effect::AddPath(command.data.clone()));
    Ok(())
}

fn remove_matcher(command: &Command, outcome: &mut LineOutcome) {
    let owner = command.properties.get("owner").unwrap_or_default();
    if !owner.is_empty() && !command.data.is_empty() {
        outcome.remark(
            Level::Warning,
            "Either specify an owner name or a file path in ##[remove-matcher] command. Both values cannot be set.",
        );
    } else if owner.is_empty() && command.data.is_empty() {
        outcome.remark(
            Level::Warning,
            "Either an owner name or a file path must be specified in ##[remove-matcher] command.",
        );
    } else if owner.is_empty() {
        outcome.effects.push(Effect::RemoveMatchers(command.data.clone()));
    } else {
        outcome.effects.push(Effect::RemoveMatcher(owner.to_owned()));
    }
}
