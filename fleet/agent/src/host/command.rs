//! Programs on the real machine: no shell, no input, bounded output, bounded time.

use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::CommandOutput;

/// Most bytes that are kept of each of the program's two outputs.
const OUTPUT_BYTES_MAX: u64 = 64 * 1024;

/// How long to wait for the rest of the output after the program has ended: a daemon it started may hold
/// the pipe open.
const OUTPUT_GRACE: Duration = Duration::from_millis(500);

pub(super) fn run(command: &[String], limit: Duration) -> io::Result<CommandOutput> {
    let (program, arguments) = command
        .split_first()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the command is empty"))?;
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let outputs = [child.stdout.take().map(read), child.stderr.take().map(read)];
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(1);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("{program} did not end within {limit:?} and was killed"),
            ));
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    };
    let text: Vec<String> = outputs
        .into_iter()
        .flatten()
        .map(|output| output.recv_timeout(OUTPUT_GRACE).unwrap_or_default())
        .filter(|text| !text.trim().is_empty())
        .collect();
    Ok(CommandOutput {
        success: status.success(),
        status: status.to_string(),
        text: text.join("\n"),
    })
}

/// Reads an output to its end on a thread of its own, so that the program never waits for a reader.
fn read(mut output: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut kept = Vec::new();
        // An output that breaks off is shown as far as it came.
        let _ = output.by_ref().take(OUTPUT_BYTES_MAX).read_to_end(&mut kept);
        let rest = io::copy(&mut output, &mut io::sink());
        if rest.is_ok_and(|bytes| bytes > 0) {
            kept.extend_from_slice("\n[cut]".as_bytes());
        }
        // Nobody waits any more when the program outlived its limit.
        let _ = sender.send(String::from_utf8_lossy(&kept).into_owned());
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration) -> io::Result<CommandOutput> {
        run(&["sh".into(), "-c".into(), script.into()], limit)
    }

    #[test]
    fn status_and_both_outputs_come_back() {
        let output = sh("echo out; echo err >&2; exit 3", Duration::from_secs(10)).unwrap();
        assert!(!output.success);
        assert_eq!(output.status, "exit status: 3");
        assert_eq!(output.text, "out\n\nerr\n");
        assert!(sh("true", Duration::from_secs(10)).unwrap().success);
    }

    #[test]
    fn what_does_not_end_is_killed_and_what_does_not_exist_is_an_error() {
        let error = sh("sleep 60", Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(run(&["/nonexistent/program".into()], Duration::from_secs(1)).is_err());
        assert!(run(&[], Duration::from_secs(1)).is_err());
    }

    #[test]
    fn a_flood_of_output_is_cut() {
        let output = sh("head -c 10000000 /dev/zero", Duration::from_secs(20)).unwrap();
        assert!(output.success);
        assert!(output.text.len() < 70_000);
    }
}
