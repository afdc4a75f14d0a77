//! The real program as a process of its own, and requests to it as raw bytes.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{PATIENCE, eventually, signal};

/// A running `verigate`; what it says goes to files.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    said: tempfile::TempDir,
}

/// The program with these variables alone; only what Postgres is found by is kept.
pub(crate) fn command(arguments: &[&str], variables: &[(&str, &str)], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_verigate"));
    command.args(arguments).env_clear().current_dir(folder);
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command.envs(variables.iter().copied());
    command
}

/// Runs it to its end.
pub(crate) fn run(arguments: &[&str], variables: &[(&str, &str)], folder: &Path) -> Output {
    command(arguments, variables, folder).output().unwrap()
}

/// A folder to work in that a private cluster can live in, even one that runs as another user.
pub(crate) fn working_folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    tempfile::Builder::new()
        .prefix("verigate-program-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir_in("/tmp")
        .unwrap()
}

impl Program {
    /// Starts it.
    pub(crate) fn start(arguments: &[&str], variables: &[(&str, &str)], folder: &Path) -> Self {
        Self::spawn(command(arguments, variables, folder))
    }

    /// Starts a command that runs it.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let said = tempfile::tempdir().unwrap();
        let file = |name: &str| Stdio::from(File::create(said.path().join(name)).unwrap());
        let child = command
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()));
        Self { child, said }
    }

    /// The process' number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it printed so far.
    pub(crate) fn printed(&self) -> String {
        self.read("stdout")
    }

    /// What it logged so far.
    pub(crate) fn logged(&self) -> String {
        self.read("stderr")
    }

    fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.said.path().join(name)).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until it printed or logged `before`, and gives the word that follows.
    pub(crate) async fn word_after(&mut self, before: &str) -> String {
        let what = format!("the program says {before:?}");
        eventually(&what, async || {
            let ended = self.child.try_wait().unwrap();
            let said = self.printed() + "\n" + &self.logged();
            if let Some(word) = word_after(&said, before) {
                return Some(word);
            }
            assert!(ended.is_none(), "it ended ({ended:?}) and said:\n{said}");
            None
        })
        .await
    }

    /// Where `dev` listens, once it does.
    pub(crate) async fn greeted(&mut self) -> SocketAddr {
        let port = self.word_after("Verigate   http://localhost:").await;
        ([127, 0, 0, 1], port.parse().unwrap()).into()
    }

    /// Sends it a signal, such as `-TERM`.
    pub(crate) fn signal(&self, name: &str) {
        signal(name, &[self.id()]);
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        eventually("the program ends", async || self.child.try_wait().unwrap()).await
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Already gone, most often.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The rest of the line after `before`, up to a blank; only of a line that is whole.
fn word_after(said: &str, before: &str) -> Option<String> {
    let (_, rest) = said.split_once(before)?;
    let (line, _) = rest.split_once('\n')?;
    Some(line.split_whitespace().next().unwrap_or("").to_owned())
}

/// An answer, byte for byte as it came.
#[derive(Debug)]
pub(crate) struct RawAnswer(pub(crate) String);

impl RawAnswer {
    /// The first line.
    pub(crate) fn status_line(&self) -> &str {
        self.0.lines().next().unwrap_or("")
    }

    /// The number in it.
    pub(crate) fn status(&self) -> u16 {
        let number = self.status_line().split(' ').nth(1);
        number.and_then(|it| it.parse().ok()).unwrap_or(0)
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let head = self.0.split("\r\n\r\n").next()?;
        head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// What follows the headers.
    pub(crate) fn body(&self) -> &str {
        self.0.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }

    /// The same, read as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(self.body()).unwrap_or_else(|_| panic!("no JSON: {}", self.0))
    }
}

/// Sends a whole request and gives everything that comes back.
pub(crate) async fn send(address: SocketAddr, request: &[u8]) -> RawAnswer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    read_answer(stream).await
}

/// Reads until the other side closes.
pub(crate) async fn read_answer(mut stream: TcpStream) -> RawAnswer {
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
    RawAnswer(String::from_utf8_lossy(&answer).into_owned())
}

/// A request's bytes: its first line without the version, headers, and a body.
pub(crate) fn request(line: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text = format!("{line} HTTP/1.1\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    if !body.is_empty() || line.starts_with("POST") {
        let length = body.len().to_string();
        text.extend(["Content-Length: ", &length, "\r\n"]);
    }
    text += "\r\n";
    text += body;
    text.into_bytes()
}
