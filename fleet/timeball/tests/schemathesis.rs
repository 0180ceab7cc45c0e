//! schemathesis over the API document, against a running controller: no server error, no status, content type
//! or body that the document does not have.

#![allow(
    clippy::panic,
    clippy::expect_used,
    reason = "what a test cannot read or start is a failed test"
)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

struct Up(Child);

impl Drop for Up {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_running_api_is_what_its_document_says() {
    let tool = std::env::var("SCHEMATHESIS")
        .expect("set SCHEMATHESIS to the schemathesis program, or run ./test, which installs it");
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let log = std::fs::File::create(directory.path().join("up.log")).expect("a log");
    let child = Command::new(env!("CARGO_BIN_EXE_timeball"))
        .args(["--data", &data.display().to_string(), "up"])
        // Whatever is asked of it, the agent leaves this machine alone.
        .env("TIMEBALL_AGENT_CONTAINER", "container")
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log"))
        .stderr(log)
        .spawn()
        .expect("timeball starts");
    let up = Up(child);
    let client = wait_for(&data.join("client.json"));
    let client: serde_json::Value = serde_json::from_str(&client).expect("JSON");
    let url = client["url"].as_str().expect("an address");
    let token = wait_for(std::path::Path::new(
        client["token_file"].as_str().expect("a file"),
    ));

    let mut child = Command::new(tool)
        .args(["run", &format!("{url}/api/openapi.json")])
        .args(["--header", &format!("Authorization: Bearer {}", token.trim())])
        .args([
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        ])
        .args([
            "--max-examples",
            "25",
            "--seed",
            "7",
            "--workers",
            "1",
            "--request-timeout",
            "60",
        ])
        // It would revoke the token that it works with.
        .args(["--exclude-operation-id", "RevokeToken"])
        .args(["--suppress-health-check", "all", "--no-color"])
        .env_remove("PYTHONPATH")
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("schemathesis starts");
    let mut output = String::new();
    for line in BufReader::new(child.stdout.take().expect("its output")).lines() {
        let line = line.expect("text");
        println!("{line}");
        output.push_str(&line);
        output.push('\n');
    }
    let status = child.wait().expect("it ends");
    drop(up);
    assert!(
        status.success(),
        "schemathesis found something; see its report above"
    );
    assert!(output.contains("Test cases"), "it has tested something");
}

fn wait_for(path: &std::path::Path) -> String {
    let begun = Instant::now();
    loop {
        match std::fs::read_to_string(path) {
            Ok(text) if !text.is_empty() => return text,
            _ if begun.elapsed() > Duration::from_secs(30) => panic!("{} does not appear", path.display()),
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}
