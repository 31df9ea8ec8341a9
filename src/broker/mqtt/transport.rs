//! TCP, with TLS or without, and the moving of bytes.

use std::sync::Arc;

use bytes::BytesMut;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Failure;

/// Room that is made in the buffer before each read.
const READ_BYTES: usize = 32 << 10;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

pub(super) struct Transport {
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    /// Whether all that was written has left the TLS layer's own buffer.
    flushed: bool,
}

impl Transport {
    pub async fn connect(
        host: &str,
        port: u16,
        tls: Option<Arc<rustls::ClientConfig>>,
    ) -> Result<Transport, Failure> {
        let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
        // What is written belongs together already; waiting for more would only delay it.
        let _ = stream.set_nodelay(true);
        let stream: Box<dyn Stream> = match tls {
            None => Box::new(stream),
            Some(config) => {
                let name = ServerName::try_from(host.to_owned())
                    .map_err(|_| Failure::Tls(format!("`{host}` is no name that a certificate can carry")))?;
                Box::new(TlsConnector::from(config).connect(name, stream).await?)
            }
        };
        Ok(Transport::over(stream))
    }

    fn over(stream: Box<dyn Stream>) -> Transport {
        let (reader, writer) = tokio::io::split(stream);
        Transport { reader, writer, flushed: true }
    }

    /// A broker that says these bytes, `read_bytes` of them at a time, and then closes; it takes all that is written.
    #[cfg(any(test, fuzzing))]
    pub fn to_broker_that_says(said: Vec<u8>, read_bytes: usize) -> Transport {
        let said = Said { said: std::io::Cursor::new(said), read_bytes: read_bytes.max(1) };
        Transport::over(Box::new(tokio::io::join(said, tokio::io::sink())))
    }

    /// Reads or writes something, whichever can be done first; `true` when it has read. May be cancelled.
    pub async fn transfer(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> Result<bool, Failure> {
        if input.capacity() - input.len() < READ_BYTES {
            input.reserve(READ_BYTES);
        }
        let has_output = !output.is_empty() || !self.flushed;
        tokio::select! {
            read = self.reader.read_buf(input) => match read? {
                0 => Err(Failure::Closed),
                _ => Ok(true),
            },
            written = write_some(&mut self.writer, &mut self.flushed, output), if has_output => {
                written?;
                Ok(false)
            }
        }
    }

    /// Writes something, as soon as there is something to write. May be cancelled.
    pub async fn write(&mut self, output: &mut BytesMut) -> Result<(), Failure> {
        if output.is_empty() && self.flushed {
            return std::future::pending().await;
        }
        Ok(write_some(&mut self.writer, &mut self.flushed, output).await?)
    }

    pub async fn write_all(&mut self, output: &mut BytesMut) -> Result<(), Failure> {
        while !output.is_empty() || !self.flushed {
            write_some(&mut self.writer, &mut self.flushed, output).await?;
        }
        Ok(())
    }

    /// Writes what is left and says that there will be no more.
    pub async fn close(&mut self, output: &mut BytesMut) -> Result<(), Failure> {
        self.write_all(output).await?;
        self.writer.shutdown().await?;
        // Until the broker has closed too: a socket closed with bytes unread resets the connection, and what was just
        // written may be lost with it.
        let mut rest = BytesMut::new();
        while self.reader.read_buf(&mut rest).await? > 0 {
            rest.clear();
        }
        Ok(())
    }
}

async fn write_some(
    writer: &mut WriteHalf<Box<dyn Stream>>,
    flushed: &mut bool,
    output: &mut BytesMut,
) -> std::io::Result<()> {
    if output.is_empty() {
        writer.flush().await?;
        *flushed = true;
    } else {
        *flushed = false;
        if writer.write_buf(output).await? == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
    }
    Ok(())
}

#[cfg(any(test, fuzzing))]
struct Said {
    said: std::io::Cursor<Vec<u8>>,
    read_bytes: usize,
}

#[cfg(any(test, fuzzing))]
impl AsyncRead for Said {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        let room = buffer.remaining().min(self.read_bytes);
        let count = std::io::Read::read(&mut self.said, buffer.initialize_unfilled_to(room))?;
        buffer.advance(count);
        std::task::Poll::Ready(Ok(()))
    }
}
