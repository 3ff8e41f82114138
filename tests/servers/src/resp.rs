//! As much of Redis' protocol as a test needs to say something to a server by itself.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// The administrator that every server has.
pub const ADMIN: [&str; 2] = ["admin", "admins-password"];

/// Sends one command to a server, as its administrator. An answer of many parts has one line for each.
///
/// # Errors
/// What the server says, or why it says nothing.
pub async fn ask(port: u16, command: &[&str]) -> Result<String, String> {
    let answer = tokio::time::timeout(Duration::from_secs(10), async {
        let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await.map_err(text)?);
        write(&mut stream, &["AUTH", ADMIN[0], ADMIN[1]]).await.map_err(text)?;
        read(&mut stream).await.map_err(text)??;
        write(&mut stream, command).await.map_err(text)?;
        read(&mut stream).await.map_err(text)?
    });
    answer.await.map_err(text)?
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

async fn write(stream: &mut BufReader<TcpStream>, command: &[&str]) -> io::Result<()> {
    let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
    for part in command {
        bytes.extend(format!("${}\r\n{part}\r\n", part.len()).bytes());
    }
    stream.write_all(&bytes).await
}

async fn read(stream: &mut BufReader<TcpStream>) -> io::Result<Result<String, String>> {
    let (mut open, mut lines, mut failed) = (1_usize, Vec::new(), None);
    while open > 0 {
        open -= 1;
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (kind, rest) = line.trim_end().split_at(1);
        match kind {
            "*" => open += rest.parse::<usize>().unwrap_or(0),
            "$" if rest == "-1" => lines.push(String::new()),
            "$" => {
                let mut bytes = vec![0; rest.parse::<usize>().unwrap_or(0) + 2];
                stream.read_exact(&mut bytes).await?;
                bytes.truncate(bytes.len() - 2);
                lines.push(String::from_utf8_lossy(&bytes).into_owned());
            }
            "-" => failed = Some(rest.to_owned()),
            _ => lines.push(rest.to_owned()),
        }
    }
    Ok(failed.map_or_else(|| Ok(lines.join("\n")), Err))
}
