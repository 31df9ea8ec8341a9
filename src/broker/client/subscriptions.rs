//! Subscribes to every filter after each CONNACK, and again to what the broker refused.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::Counter;

use crate::broker::Status;
use crate::broker::mqtt::{Connection, Failure};

/// Filters in one SUBSCRIBE; some brokers take no more (AWS IoT Core: 8).
const FILTERS_PER_PACKET: usize = 8;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const RETRY_INTERVAL: Duration = Duration::from_secs(60);

/// The subscriptions of one connection. One SUBSCRIBE is under way at a time, so each SUBACK is the last one's.
pub(super) struct Subscriptions {
    filters: Vec<String>,
    waiting: VecDeque<usize>,
    asked: Vec<usize>,
    asked_at: Instant,
    refused: HashMap<usize, &'static str>,
    retry_at: Option<Instant>,
    status: Arc<Status>,
    refusals: Counter,
}

impl Subscriptions {
    /// All filters are to be asked for, also when the broker still has the session: it may have been made with
    /// others.
    pub fn new(filters: Vec<String>, status: Arc<Status>, refusals: Counter) -> Subscriptions {
        Subscriptions {
            waiting: (0..filters.len()).collect(),
            filters,
            asked: Vec::new(),
            asked_at: Instant::now(),
            refused: HashMap::new(),
            retry_at: None,
            status,
            refusals,
        }
    }

    /// Takes a SUBACK.
    pub fn answered(
        &mut self,
        results: Vec<Result<(), &'static str>>,
        connection: &mut Connection,
    ) -> Result<(), Failure> {
        let asked = std::mem::take(&mut self.asked);
        if asked.len() != results.len() {
            let text = format!("its SUBACK has {} results for {} filters", results.len(), asked.len());
            return Err(Failure::Protocol(text));
        }
        for (index, result) in asked.into_iter().zip(results) {
            match result {
                Ok(()) => self.granted(index),
                Err(reason) => self.refused(index, reason),
            }
        }
        self.ask(connection)?;
        if self.asked.is_empty() {
            self.publish_status();
        }
        Ok(())
    }

    /// Called from time to time: asks again for what was refused.
    pub fn check(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        if !self.asked.is_empty() && self.asked_at.elapsed() > ANSWER_TIMEOUT {
            return Err(Failure::Timeout("a SUBSCRIBE was not answered"));
        }
        if self.retry_at.is_some_and(|at| Instant::now() >= at) {
            self.retry_at = None;
            self.waiting.extend(self.refused.keys());
            self.ask(connection)?;
        }
        Ok(())
    }

    /// Asks for what is waiting, if nothing is asked for.
    pub fn ask(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        if !self.asked.is_empty() || self.waiting.is_empty() {
            return Ok(());
        }
        let count = self.waiting.len().min(FILTERS_PER_PACKET);
        self.asked = self.waiting.drain(..count).collect();
        self.asked_at = Instant::now();
        let filters: Vec<String> = self.asked.iter().map(|&index| self.filters[index].clone()).collect();
        connection.subscribe(&filters)
    }

    fn granted(&mut self, index: usize) {
        let filter = &self.filters[index];
        if self.refused.remove(&index).is_some() {
            tracing::info!(target: "citywire::broker", filter, "The broker now takes the subscription it refused.");
        } else {
            tracing::info!(target: "citywire::broker", filter, "Subscribed.");
        }
    }

    fn refused(&mut self, index: usize, reason: &'static str) {
        self.refusals.increment(1);
        self.retry_at = Some(Instant::now() + RETRY_INTERVAL);
        if self.refused.insert(index, reason).is_none() {
            tracing::error!(
                target: "citywire::broker",
                filter = self.filters[index],
                "The broker refused the subscription ({reason}): no message of this filter is received. Allow it \
                 in the broker's access list, or correct the route's topic; it is tried again each minute."
            );
        }
    }

    fn publish_status(&self) {
        let refused = self.refused.iter().map(|(&index, &reason)| (self.filters[index].clone(), reason));
        let mut refused: Vec<_> = refused.collect();
        refused.sort();
        self.status.subscribed(refused);
    }
}
