//! The threads that follow the journal, each sink's and the fleet's, and the one that watches the rules.

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::ServiceError;
use crate::sink;

/// Threads that run as long as the service. None ends before it is told to, unless it panics: then the whole service
/// stops, rather than go on with a part missing.
#[derive(Default)]
pub struct Consumers {
    threads: Vec<JoinHandle<()>>,
    ended: Arc<Notify>,
}

impl Consumers {
    pub fn start(&mut self, name: &str, run: impl Future<Output = ()> + Send + 'static) -> Result<(), ServiceError> {
        let ended = Ended(Arc::clone(&self.ended));
        let run = async move {
            run.await;
            drop(ended);
        };
        self.threads.push(sink::spawn(&Handle::current(), name, run).map_err(ServiceError::Thread)?);
        Ok(())
    }

    /// Waits until one has ended.
    pub async fn ended(&self) {
        self.ended.notified().await;
    }

    pub async fn join(self) -> Result<(), ServiceError> {
        let threads = self.threads;
        let panicked = move || threads.into_iter().map(JoinHandle::join).filter(Result::is_err).count();
        match tokio::task::spawn_blocking(panicked).await {
            Ok(0) => Ok(()),
            _ => Err(ServiceError::Panicked),
        }
    }
}

/// Tells when it is dropped, as it also is when its thread panics.
struct Ended(Arc<Notify>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_thread_that_panics_ends_the_service_with_an_error() {
        let mut consumers = Consumers::default();
        let (stopping, mut stopped) = tokio::sync::watch::channel(false);
        let well = async move { drop(stopped.wait_for(|stopped| *stopped).await) };
        consumers.start("well", well).unwrap();
        consumers.start("ill", async { panic!("as this test wants") }).unwrap();
        consumers.ended().await;
        stopping.send_replace(true);
        assert!(matches!(consumers.join().await, Err(ServiceError::Panicked)));
    }
}
