//! One node: a process that can be stopped, stalled and started again on its data.

use std::{
    fs::File,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{LaunchError, Options, settings};

/// How long a node may take until it answers.
const START_MAX: Duration = Duration::from_secs(120);
/// How often its port is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(100);

/// How long it may take to answer a query; then it is asked again.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// A Cassandra node; it ends with its handle.
#[derive(Debug)]
pub struct Node {
    place: settings::Place,
    options: Options,
    jars: PathBuf,
    java: PathBuf,
    process: Option<Child>,
}

impl Node {
    pub(crate) fn new(
        place: settings::Place,
        options: Options,
        jars: PathBuf,
        java: PathBuf,
    ) -> Result<Self, LaunchError> {
        settings::write(&place, &options)?;
        Ok(Self {
            place,
            options,
            jars,
            java,
            process: None,
        })
    }

    /// Where the node answers CQL.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((self.place.address, self.place.port))
    }

    /// The process, while the node runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Starts the node and waits until it answers.
    pub fn start(&mut self) -> Result<(), LaunchError> {
        let log = self.place.folder.join("out.log");
        let out = File::create(&log).map_err(LaunchError::io("make a node's log"))?;
        let err = out.try_clone().map_err(LaunchError::io("make a node's log"))?;
        let process = settings::command(&self.place, &self.options, &self.jars, &self.java)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .map_err(LaunchError::io("start a node"))?;
        self.process = Some(process);
        self.wait(log)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "nothing tells when a process of another's begins to answer; no runtime runs here"
    )]
    fn wait(&mut self, log: PathBuf) -> Result<(), LaunchError> {
        let begun = Instant::now();
        let address = self.address();
        loop {
            if answers(address) {
                return Ok(());
            }
            let ended = self
                .process
                .as_mut()
                .and_then(|process| process.try_wait().ok().flatten());
            let why = match ended {
                Some(status) => format!("ended with {status}"),
                None if begun.elapsed() > START_MAX => format!("no answer for {START_MAX:?}"),
                None => {
                    std::thread::sleep(LOOK);
                    continue;
                }
            };
            return Err(LaunchError::Node { address, why, log });
        }
    }

    /// Ends the node at once, as a crash does.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Forgets the process, which goes on.
    pub(crate) fn leave_alone(&mut self) {
        self.process = None;
    }

    /// Stops the node's process from running until `resume`; its connections stay open.
    pub fn stall(&self) -> Result<(), LaunchError> {
        self.signal("-STOP")
    }

    pub fn resume(&self) -> Result<(), LaunchError> {
        self.signal("-CONT")
    }

    fn signal(&self, signal: &str) -> Result<(), LaunchError> {
        let Some(pid) = self.pid() else {
            return Ok(());
        };
        let status = Command::new("kill").args([signal, &pid.to_string()]).status();
        status.map(drop).map_err(LaunchError::io("signal a node"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether a query is answered at the address: the port is open some time before that.
fn answers(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&address, LOOK) else {
        return false;
    };
    // Opcodes of the protocol: STARTUP is answered with READY, QUERY with RESULT.
    let startup = b"\0\x01\0\x0bCQL_VERSION\0\x053.0.0";
    let query = b"\0\0\0\x20SELECT host_id FROM system.local\0\x01\0";
    stream.set_read_timeout(Some(ANSWER_MAX)).is_ok()
        && ask(&mut stream, 1, startup).is_ok_and(|answer| answer == 2)
        && ask(&mut stream, 7, query).is_ok_and(|answer| answer == 8)
}

/// Sends a frame of the protocol's version 4 and returns the opcode of the one that answers it.
fn ask(stream: &mut TcpStream, opcode: u8, body: &[u8]) -> io::Result<u8> {
    let length = u8::try_from(body.len()).map_err(io::Error::other)?;
    stream.write_all(&[&[4, 0, 0, 0, opcode, 0, 0, 0, length], body].concat())?;
    let mut header = [0; 9];
    stream.read_exact(&mut header)?;
    let [_, _, _, _, answer, a, b, c, d] = header;
    let rest = u64::from(u32::from_be_bytes([a, b, c, d]));
    io::copy(&mut stream.take(rest), &mut io::sink())?;
    Ok(answer)
}
