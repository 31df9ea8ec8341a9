//! A broker of a few lines, for what no real one does on demand: refuse a subscription, send what cannot be read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Answers each packet of a client with the bytes that a function gives for it.
pub struct FakeBroker {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

/// An MQTT packet type: the upper four bits of its first byte (MQTT 5.0, 2.1.2).
pub const CONNECT: u8 = 1;
pub const PUBACK: u8 = 4;
pub const SUBSCRIBE: u8 = 8;

/// CONNACK: success, no session, no property.
pub const CONNACK: [u8; 5] = [0x20, 3, 0, 0, 0];

impl FakeBroker {
    /// `answer` gets the type of a packet and what follows its fixed header.
    pub async fn start(answer: impl Fn(u8, &[u8]) -> Vec<u8> + Send + Sync + 'static) -> FakeBroker {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind the fake broker");
        let address = listener.local_addr().expect("the fake broker's address");
        let connections = Arc::new(AtomicUsize::new(0));
        let (counted, answer) = (connections.clone(), Arc::new(answer));
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                let answer = answer.clone();
                tokio::spawn(async move { serve(stream, &*answer).await });
            }
        });
        FakeBroker { address, connections, accepting }
    }

    /// `mqtt://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for FakeBroker {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(mut stream: TcpStream, answer: &(impl Fn(u8, &[u8]) -> Vec<u8> + ?Sized)) -> std::io::Result<()> {
    loop {
        let first = stream.read_u8().await?;
        let mut length = 0;
        for shift in [0, 7, 14, 21] {
            let byte = stream.read_u8().await?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut rest = vec![0; length];
        stream.read_exact(&mut rest).await?;
        stream.write_all(&answer(first >> 4, &rest)).await?;
    }
}
